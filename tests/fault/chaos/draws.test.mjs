import assert from 'node:assert/strict';
import { test } from 'node:test';

import { NODE_HOSTS, SERVER_HOSTS } from '../../support/hosts/site.mjs';
import { draws, lanesOf } from './draws.mjs';
import { KINDS, LANES } from './kinds.mjs';
import { SEEDS, WANTED } from './selection.mjs';

// Among the first of its lane: a round has room for about twice as many.
const EARLY = 3;

/** What drawing needs of a Site. */
const SITE = (() => {
  const roles = { spear: 3, ticket: 2, stat: 2, idgen: 2 };
  const nodes = Object.entries(roles).flatMap(([role, count]) =>
    Array.from({ length: count }, (_, index) => ({ id: `${role}-${index + 1}`, role, clock: '/dev/null', host: { name: NODE_HOSTS[index] } })),
  );
  const three = (name) => SERVER_HOSTS.map((host, index) => ({ name: `${name}-${index + 1}`, host: { name: host } }));
  return {
    nodes: new Map(nodes.map((node) => [node.id, node])),
    of: (role) => nodes.filter((node) => node.role === role),
    zookeeper: { servers: three('zookeeper') },
    redis: { servers: three('redis'), sentinels: three('sentinel') },
    network: { host: (name) => ({ name }), rules: {} },
  };
})();

const laneOf = (name, options) => lanesOf(options).find((lane) => lane.name === name);

function first(count, seed, round, lane) {
  const found = [];
  for (const draw of draws(seed, round, lane)) {
    found.push(draw);
    if (found.length === count) return found;
  }
  return found;
}

/** In words, all that is drawn of a fault. */
function told({ number, rest, kind, random }) {
  const { target, needs, ms } = KINDS[kind].draw(SITE, random);
  return JSON.stringify([number, rest, kind, target, needs, ms, random.next()]);
}

test('a seed repeats each lane of each round', () => {
  for (const lane of lanesOf()) {
    for (const round of [1, 2, 7]) {
      const [one, other] = [1, 2].map(() => first(20, 21, round, lane).map(told));
      assert.deepEqual(one, other);
    }
  }
});

test('seeds, rounds, and lanes with the same kinds differ', () => {
  const kinds = (seed, round, name) => first(20, seed, round, laneOf(name)).map(({ kind }) => kind).join();
  const all = [kinds(21, 1, 'processes'), kinds(21, 2, 'processes'), kinds(22, 1, 'processes'), kinds(21, 1, 'other processes')];
  assert.equal(new Set(all).size, all.length);
});

test('what a fault draws moves nothing of those after it', () => {
  const lane = laneOf('servers');
  const quiet = first(10, 21, 1, lane).map(({ kind, rest }) => [kind, rest]);
  const busy = first(10, 21, 1, lane).map((draw) => (told(draw), [draw.kind, draw.rest]));
  assert.deepEqual(quiet, busy);
  const used = [];
  for (const draw of draws(21, 1, lane)) {
    for (let count = 0; count < draw.number; count += 1) draw.random.next();
    used.push([draw.kind, draw.rest]);
    if (used.length === 10) break;
  }
  assert.deepEqual(quiet, used);
});

test('every kind is drawn, and only those that are wanted', () => {
  const found = new Set(lanesOf().flatMap((lane) => first(400, 1, 1, lane).map(({ kind }) => kind)));
  assert.deepEqual([...found].sort(), Object.keys(KINDS).sort());
  assert.deepEqual(lanesOf({ only: ['loss', 'kill'] }).map(({ name, weights }) => [name, Object.keys(weights)]), [
    ['processes', ['kill']], ['other processes', ['kill']], ['paths', ['loss']],
  ]);
  assert.equal(lanesOf({ without: ['clock-step'] }).length, LANES.length);
  assert.ok(first(400, 1, 1, laneOf('sessions', { without: ['clock-step'] })).every(({ kind }) => kind !== 'clock-step'));
});

for (const [which, seed] of Object.entries(SEEDS)) {
  test(`the ${which} selection of CI draws early what it is to draw`, () => {
    for (const kind of WANTED) {
      const lane = lanesOf().find(({ weights }) => kind in weights);
      const early = first(EARLY, seed, 1, lane).map((draw) => draw.kind);
      assert.ok(early.includes(kind), `${kind} is not among ${early}`);
    }
  });
}
