// How much one client may ask for, and that it takes nothing from another.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { suite as describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { Client, ticketFor } from '../support/client.mjs';
import { ROOT } from '../support/process.mjs';
import { unique, withCluster } from '../support/suite.mjs';
import { until } from '../support/wait.mjs';

const REFUSED_MS = 10_000;

const ask = (client) => client.ask('ack', []);

/** Asks so often at once; answers the refusals. */
async function refusals(client, count) {
  const answers = await Promise.all(Array.from({ length: count }, () => ask(client)));
  const refused = answers.filter(({ ok }) => !ok).map(({ error }) => error);
  assert.ok(refused.every(({ code, retry_after_ms }) => code === 'rate_limited' && retry_after_ms > 0));
  return refused;
}

describe('events a second', () => {
  const BURST = 40;
  const USER_BURST = 60;
  // So slow that nothing comes back while a test asks.
  const suite = withCluster({
    env: {
      PHALANX__SPEAR__EVENTS__CONNECTION_PER_SECOND: '1',
      PHALANX__SPEAR__EVENTS__CONNECTION_BURST: String(BURST),
      PHALANX__SPEAR__EVENTS__USER_PER_SECOND: '1',
      PHALANX__SPEAR__EVENTS__USER_BURST: String(USER_BURST),
    },
  });
  // A second may pass nevertheless.
  const about = (got, wanted) => assert.ok(got <= wanted && got > wanted - 10, `${got} of about ${wanted}`);

  test('of one connection, and when it may go on', async () => {
    const alice = await Client.connect(suite.cluster, unique('alice'));
    const refused = await refusals(alice, 2 * BURST);
    about(refused.length, BURST);
    // Where a second has passed one is taken, and none after it.
    const { code, retry_after_ms } = await until(async () => (await ask(alice)).error, REFUSED_MS, 'one is refused');
    assert.equal(code, 'rate_limited');
    assert.ok(retry_after_ms <= 1_001);
    // As a client does that takes the spear at its word.
    await pause(retry_after_ms + 1);
    assert.equal((await ask(alice)).ok, true);
    const bob = await Client.connect(suite.cluster, unique('bob'));
    assert.equal((await refusals(bob, BURST)).length, 0, 'another one has a limit of its own');
  });

  test('of one user, on one spear', async () => {
    const user = unique('alice');
    const phone = await Client.connect(suite.cluster, user, { device: 'phone' });
    const pad = await Client.connect(suite.cluster, user, { device: 'pad' });
    const away = await Client.connect(suite.cluster, user, { device: 'away', avoid: [phone.node] });
    assert.equal(phone.node, pad.node);
    assert.equal((await refusals(phone, BURST)).length, 0);
    about((await refusals(pad, BURST)).length, 2 * BURST - USER_BURST);
    assert.equal((await refusals(away, BURST)).length, 0, 'another spear counts for itself');
    for (const client of [phone, pad, away]) client.close();
    await pad.ended();
    const again = await until(
      async () => {
        const client = await Client.connect(suite.cluster, user, { device: 'phone' });
        return (await ask(client)).ok ? client : client.close();
      },
      10_000,
      'nothing is kept of a user who has gone',
    );
    assert.equal(again.disconnected, undefined);
  });
});

describe('what waits for an answer', () => {
  const suite = withCluster({ env: { PHALANX__SPEAR__MAX_PENDING_BYTES: '100000' } });

  test('is bounded in bytes, but one event is always taken', async () => {
    const [alice, bob] = [unique('alice'), unique('bob')];
    const client = await Client.connect(suite.cluster, alice);
    const body = 'x'.repeat(60_000);
    const send = (more) => client.ask('send', { to: { user: bob }, body: body + more });
    const answers = await Promise.all(Array.from({ length: 20 }, (_, number) => send(number)));
    const refused = answers.filter(({ ok }) => !ok);
    assert.ok(refused.length > 0 && refused.length < 20, `${refused.length} were refused`);
    assert.ok(refused.every(({ error }) => error.code === 'rate_limited'));
    assert.equal((await client.ask('send', { to: { user: bob }, body })).ok, true);
    // Larger than the bound, and refused for that alone.
    assert.equal((await client.ask('send', { to: { user: bob }, body: body + body })).error.code, 'too_large');
  });
});

describe('a flood', () => {
  const ROUNDS = 150;
  // Between two programs and a cluster that share two processors.
  const FACTOR = 5;
  const suite = withCluster();

  /** The median of how long a send takes, milliseconds. */
  async function roundTrip(client, user) {
    const times = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const start = performance.now();
      await client.sendTo(user, round);
      times.push(performance.now() - start);
    }
    return times.sort((a, b) => a - b)[ROUNDS / 2];
  }

  test('from one client does not move how long another one waits', async (t) => {
    const alice = await Client.connect(suite.cluster, unique('alice'));
    const away = alice.node === 'spear-1' ? 'spear-2' : 'spear-1';
    const { spear, ticket } = await ticketFor(suite.cluster, unique('mallory'), { avoid: [away] });
    assert.equal(spear.id, alice.node);
    const bob = unique('bob');
    await roundTrip(alice, bob);
    const before = await roundTrip(alice, bob);

    const place = join(ROOT, 'tests', 'support', 'flood.mjs');
    const flood = spawn(process.execPath, [place, spear.url, ticket, unique('dave')], { stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(() => flood.kill('SIGKILL'));
    let counts;
    createInterface({ input: flood.stdout }).on('line', (line) => (counts = JSON.parse(line)));
    await until(() => counts?.refused > 2_000, 30_000, () => `the flood is under way: ${JSON.stringify(counts)}`);
    const start = { ...counts };
    const meanwhile = await roundTrip(alice, bob);
    await until(() => counts.refused > start.refused, 10_000, 'the flood goes on');
    assert.equal(counts.other, 0);
    flood.kill('SIGKILL');
    await once(flood, 'exit');

    const after = await roundTrip(alice, bob);
    const quiet = Math.max(before, after);
    t.diagnostic(`a send takes ${quiet.toFixed(2)} ms, and ${meanwhile.toFixed(2)} ms in the flood: ${JSON.stringify(counts)}`);
    assert.ok(meanwhile < FACTOR * quiet, `${meanwhile} ms, ${(meanwhile / quiet).toFixed(1)} times as long`);
  });
});
