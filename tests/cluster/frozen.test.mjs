// Given a node that is frozen for longer than its session lives, when it goes on, then it is itself again, or makes way for its
// newer start.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Client, directConversation, usersOnDifferentSpears } from '../support/client.mjs';
import { unique, withCluster } from '../support/suite.mjs';
import { until } from '../support/wait.mjs';

// A session ends 3 s after the last sign of life in this profile; the rest is for a busy machine.
const SEEN_MS = 30_000;

// What the binary ends with when a newer start of the node is registered (docs/operations.md).
const SUPERSEDED = 3;

// Away from every port of the cluster, and from those of others that may run.
const OTHER_PORTS = 2;

const suite = withCluster();

/** `{state, incarnation}` of a node, as stat shows it. */
async function shown(id) {
  const { body } = await suite.cluster.stat('GET', '/v1/cluster');
  const node = body.nodes.find((each) => each.id === id);
  return { state: node?.state, incarnation: node?.incarnation };
}

const becomes = (id, fits, what) => until(async () => fits(await shown(id)), SEEN_MS, `${id} ${what}`);

test('a spear frozen past its session registers again as the same start, and keeps its connections', async () => {
  const { cluster } = suite;
  const users = Object.values(await usersOnDifferentSpears(cluster, unique('u')));
  const [alice, bob] = await Promise.all(users.map((user) => Client.connect(cluster, user)));
  const conversation = directConversation(alice.user, bob.user);
  const before = await shown(bob.node);
  const { process } = cluster.nodes.get(bob.node);
  process.signal('SIGSTOP');
  try {
    await becomes(bob.node, ({ state }) => state !== 'up', 'is out of the roster');
    await alice.sendTo(bob.user, 'while it is frozen');
  } finally {
    process.signal('SIGCONT');
  }
  await becomes(bob.node, ({ state }) => state === 'up', 'is back');
  assert.deepEqual(await shown(bob.node), before, 'it is the same start');
  await bob.receives(conversation, 1);
  await alice.sendTo(bob.user, 'and after');
  await bob.receives(conversation, 2);
  assert.equal(bob.disconnected, undefined);
  await cluster.ready();
});

test('a frozen start that comes back makes way for the newer one', async () => {
  const { cluster } = suite;
  for (const id of ['spear-1', 'ticket-1']) {
    const before = await shown(id);
    const frozen = cluster.nodes.get(id).process;
    frozen.signal('SIGSTOP');
    // The same node on other ports, because the frozen one still has them. Its session lives on for a while.
    cluster.spawnNode(id, { PHALANX__INSTANCE__PORT_OFFSET: String(cluster.offset + OTHER_PORTS) });
    const newer = cluster.nodes.get(id).process;
    await becomes(id, ({ incarnation }) => incarnation > before.incarnation, 'is registered by its newer start');
    const { incarnation } = await shown(id);
    frozen.signal('SIGCONT');
    assert.deepEqual(await frozen.ended(), { code: SUPERSEDED, signal: null }, `${id}: the older start ends`);
    // Whatever it did at its end is done: it is gone.
    assert.deepEqual(await shown(id), { state: 'up', incarnation }, `${id}: the newer start stays`);
    assert.equal(newer.end, undefined);
    await newer.kill9();
    await cluster.launchNode(id);
  }
});
