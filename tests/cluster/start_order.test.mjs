// Given nothing that runs, when nodes are started in any order, each before what it needs, then each says what it waits for and
// comes up without a restart.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Client, closeAll, directConversation } from '../support/client.mjs';
import { Cluster } from '../support/cluster.mjs';
import { until } from '../support/wait.mjs';

const ROLES = ['idgen', 'stat', 'spear', 'ticket', 'minions-ui'];

/** What a node says that it waits for; undefined while it does not answer. */
async function waitsFor(cluster, id) {
  try {
    const { ready, conditions } = await cluster.readiness(id);
    return ready ? [] : conditions.filter((condition) => !condition.ok).map(({ name, detail }) => `${name}: ${detail}`);
  } catch {
    return undefined;
  }
}

async function talks(cluster) {
  const [alice, bob] = await Promise.all(['alice', 'bob'].map((user) => Client.connect(cluster, user)));
  await alice.sendTo('bob', 'hello');
  await bob.receives(directConversation('alice', 'bob'), 1);
  closeAll();
}

for (const [name, order] of [
  ['each role before the servers', ROLES],
  ['the other way round', ROLES.toReversed()],
]) {
  test(`${name}: everybody waits, says so, and comes up`, { timeout: 120_000 }, async (t) => {
    const cluster = await Cluster.start({ launch: false, servers: false });
    t.after(() => cluster.dispose({ failed: t.passed === false }));
    for (const role of order) {
      const ids = [...cluster.nodes.values()].filter((node) => node.role === role).map((node) => node.id);
      for (const id of ids) {
        cluster.spawnNode(id);
        const says = async () => {
          const waiting = await waitsFor(cluster, id);
          assert.notDeepEqual(waiting, [], `${id} cannot be ready without its servers`);
          return /roster|store/.test(waiting?.join('; '));
        };
        await until(says, 20_000, `${id} says what it waits for`);
      }
    }
    const pids = [...cluster.nodes.values()].map((node) => node.process.pid);
    await cluster.startServers();
    await cluster.ready();
    assert.deepEqual([...cluster.nodes.values()].map((node) => node.process.pid), pids, 'nobody was started again');
    await talks(cluster);
  });
}

test('each role comes last into a cluster that has everything else', { timeout: 180_000 }, async (t) => {
  const cluster = await Cluster.start();
  t.after(() => cluster.dispose({ failed: t.passed === false }));
  for (const role of ROLES) {
    const ids = [...cluster.nodes.values()].filter((node) => node.role === role).map((node) => node.id);
    await Promise.all(ids.map((id) => cluster.killNode(id)));
    const others = [...cluster.nodes.keys()].filter((id) => !ids.includes(id));
    for (const id of others) assert.equal(cluster.nodes.get(id).process.end, undefined, `${id} goes on without ${role}`);
    ids.forEach((id) => cluster.spawnNode(id));
    await cluster.ready();
    await talks(cluster);
  }
});

test('a newer start of a node takes its place, and the older one ends and says why', async (t) => {
  const cluster = await Cluster.start();
  t.after(() => cluster.dispose({ failed: t.passed === false }));
  const older = cluster.nodes.get('ticket-2').process;
  const elsewhere = Object.fromEntries(
    [['PORT', 26000], ['ADMIN__PORT', 26100]].map(([key, port]) => [`PHALANX__TICKET__${key}`, `${port}++`]),
  );
  cluster.spawnNode('ticket-2', elsewhere);
  assert.deepEqual(await older.ended(), { code: 3, signal: null });
  await until(() => /a newer start of ticket-2 is registered/.test(cluster.logTail()), 10_000, 'the log says why');
});
