import assert from 'node:assert/strict';
import { test } from 'node:test';

import { until } from '../../support/wait.mjs';
import { draws, lanesOf } from './draws.mjs';
import { Weather } from './weather.mjs';

const ONLY = ['kill', 'slow'];

/** A seed whose first kill begins soon, before its first thin link, and lasts for long. */
const SEED = (() => {
  for (let seed = 1; ; seed += 1) {
    const [kill, other, slow] = lanesOf({ only: ONLY }).map((lane) => draws(seed, 1, lane).next().value.rest);
    if (kill < 100 && other > 2_000 && slow > 150 && slow < 400) return seed;
  }
})();

/** A Site on which nothing happens but what is noted. */
function site({ slow = () => {} } = {}) {
  const did = [];
  const process = {
    name: 'spear-1',
    crashes: [],
    async kill9() {
      did.push('killed');
    },
    start() {
      did.push('started');
    },
    takeCrashes() {
      return this.crashes.splice(0);
    },
  };
  return {
    did,
    process,
    processes: [process],
    nodes: new Map([['spear-1', { id: 'spear-1', role: 'spear', host: { name: 'd' }, process }]]),
    network: { rules: { slow, heal() {} } },
    async whole() {
      did.push('whole');
    },
  };
}

const weather = (on, log = []) => new Weather(on, { seed: SEED, log: (entry) => log.push(entry), only: ONLY });

test('where a lane cannot go on, the others heal what they have begun before that is told', async () => {
  const broken = new Error('no tc here');
  const on = site({
    slow() {
      throw broken;
    },
  });
  await assert.rejects(weather(on).blow(1, 100), broken);
  assert.deepEqual(on.did, ['killed', 'started']);
});

test('once it is stopped everything is healed, and nothing more begins', async () => {
  const [on, log] = [site(), []];
  const blown = weather(on, log);
  const blows = blown.blow(1, 100);
  await until(() => on.did.includes('killed'), 5_000, 'a kill');
  blown.stop();
  await blows;
  assert.deepEqual(on.did, ['killed', 'started', 'whole']);
  // On a slow machine a thin link may have come before.
  assert.equal(blown.counts.kill, 1);
  const kills = log.filter(({ fault }) => fault === 'kill').map(({ lane, number }) => [lane, number]);
  assert.deepEqual(kills, [['processes', 1]]);
});

test('so many faults, then it is over', async () => {
  const on = site();
  const blown = weather(on);
  await blown.blow(1, 1);
  assert.equal(blown.injected, 1);
  assert.deepEqual(on.did, ['killed', 'started', 'whole']);
});

test('what ended by itself is noted, and started again', () => {
  const [on, log] = [site(), []];
  const blown = weather(on, log);
  blown.watch();
  assert.deepEqual([blown.ended, on.did], [[], []]);
  on.process.crashes.push({ end: { code: 101, signal: null }, at: 0 });
  blown.watch();
  blown.watch();
  assert.deepEqual(blown.ended, [{ name: 'spear-1', end: { code: 101, signal: null }, at: '1970-01-01T00:00:00.000Z' }]);
  assert.deepEqual(log, [{ at: 0, ended: 'spear-1', code: 101, signal: null }]);
  assert.deepEqual(on.did, ['started']);
});
