// Given a cluster under load, when ZooKeeper, its sessions or Redis go away and come back, then connections stay and nothing acknowledged
// is lost.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { Client } from '../support/client.mjs';
import { expire } from '../support/hosts/session_thief.mjs';
import { talk } from '../support/hosts/talk.mjs';
import { unique, withCluster } from '../support/suite.mjs';
import { all, settle, talkers } from '../support/talkers.mjs';
import { until } from '../support/wait.mjs';

// Ten session time-outs of the profile. A longer one is asked for by the environment.
const OUTAGE_MS = Number(process.env.PHALANX_TEST_OUTAGE_MS ?? 30_000);
// The profile's session time-out is 3 s; a client gives its session up after 1.4 of that.
const SESSION_MS = 3_000;

const suite = withCluster({ zookeepers: 3 });

const ensemble = () => ['zookeeper', 'zookeeper2', 'zookeeper3'].map((name) => suite.cluster.servers[name]);

/** The sessions that these servers have: `{id, port}`, of the server. */
async function sessionsOf(servers) {
  const lists = await Promise.all(servers.map((server) => talk('127.0.0.1', server.port, 'cons')));
  const ids = (text) => [...text.matchAll(/sid=(0x[0-9a-f]+)/g)].map(([, id]) => id).filter((id) => id !== '0x0');
  return servers.flatMap(({ port }, index) => ids(lists[index]).map((id) => ({ id, port })));
}

/** id → which start of the node it is, of all that are up. */
async function starts() {
  const { body } = await suite.cluster.stat('GET', '/v1/cluster');
  return Object.fromEntries(body.nodes.filter((node) => node.state === 'up').map((node) => [node.id, node.incarnation]));
}

/** Every node is registered again, and is the same start as before. */
async function registeredAgain(before) {
  await until(
    async () => Object.keys(await starts()).length === suite.cluster.nodes.size,
    30_000,
    'every node is registered again',
  );
  assert.deepEqual(await starts(), before);
}

/** Says so in readiness and by a metric, while it is ready. */
function outOfReach() {
  return until(
    async () => {
      const { ready, conditions } = await suite.cluster.readiness('ticket-1');
      const age = await suite.cluster.metric('ticket-1', 'phalanx_ticket_snapshot_age_seconds');
      return ready && age > 0 && conditions.some(({ detail }) => /out of reach since \d+: serving \d+ spears/.test(detail));
    },
    15_000,
    'readiness and a metric say that the roster is out of reach',
  );
}

const inReach = () =>
  until(
    async () => (await suite.cluster.metric('ticket-1', 'phalanx_ticket_snapshot_age_seconds')) === 0,
    30_000,
    'the metric says that the snapshot is current',
  );

/** Messages flow and people come in, to the end of the outage and not only at its beginning. */
async function through(pairs, lastsMs) {
  const back = Date.now() + lastsMs;
  do {
    await all(pairs, (writer) => writer.more(5, 15_000));
    const late = await Client.connect(suite.cluster, unique('late'));
    late.close();
    await pause(200);
  } while (Date.now() < back);
}

/** Ends it: besides, not one send was refused, or stayed without an answer. */
async function settleUnrefused(pairs) {
  await settle(pairs);
  await all(pairs, (writer) => assert.deepEqual(writer.refusals, [], `refusals of ${writer.client.user}`));
}

test('every session over at once while its process goes on: the same starts register again, nothing is refused', { timeout: 120_000 }, async () => {
  const { cluster } = suite;
  const pairs = await talkers(cluster, 2);
  const before = await starts();
  const ids = [...cluster.nodes.keys()];
  const counted = () => Promise.all(ids.map((id) => cluster.metric(id, 'phalanx_roster_sessions_total')));
  const [counts, theirs] = await Promise.all([counted(), sessionsOf(ensemble())]);
  assert.equal(theirs.length, ids.length, 'a session each');
  const known = new Set(theirs.map(({ id }) => id));
  const gone = async () => {
    // Again, because a client that comes back at this very moment keeps its session.
    const left = (await sessionsOf(ensemble())).filter(({ id }) => known.has(id));
    await Promise.all(left.map(({ id, port }) => expire(id, '127.0.0.1', port).catch(() => undefined)));
    return (await counted()).every((count, index) => count > counts[index]);
  };
  await until(gone, 30_000, 'every node has another session');
  await registeredAgain(before);
  await all(pairs, (writer) => writer.more(20, 30_000));
  await cluster.ready();
  await settleUnrefused(pairs);
});

test("ZooKeeper's leader killed: no connection drops, messages flow", { timeout: 120_000 }, async () => {
  const pairs = await talkers(suite.cluster, 2);
  const before = await starts();
  await all(pairs, (writer) => writer.more(20));
  const leads = await Promise.all(ensemble().map((server) => server.answers('srvr', 'Mode: leader')));
  const leader = ensemble()[leads.indexOf(true)];
  await leader.kill9();
  await through(pairs, 2 * SESSION_MS);
  await inReach();
  await registeredAgain(before);
  await leader.launch();
  await settleUnrefused(pairs);
});

test('two of three ZooKeeper servers away: the same, and tickets are given from the last snapshot', { timeout: 180_000 }, async () => {
  const pairs = await talkers(suite.cluster, 2);
  const before = await starts();
  await all(pairs, (writer) => writer.more(20));
  const [, ...majority] = ensemble();
  await Promise.all(majority.map((server) => server.kill9()));
  await outOfReach();
  await through(pairs, 2 * SESSION_MS);
  await Promise.all(majority.map((server) => server.launch()));
  await inReach();
  await registeredAgain(before);
  await settleUnrefused(pairs);
});

test('all of ZooKeeper away for ten session time-outs: the same', { timeout: OUTAGE_MS + 150_000 }, async () => {
  const { cluster } = suite;
  const pairs = await talkers(suite.cluster, 3);
  const before = await starts();
  await all(pairs, (writer) => writer.more(20));
  await Promise.all(ensemble().map((server) => server.kill9()));
  await outOfReach();
  await through(pairs, OUTAGE_MS);
  // The metric is set once a second.
  const age = () => cluster.metric('ticket-1', 'phalanx_ticket_snapshot_age_seconds');
  await until(async () => (await age()) >= OUTAGE_MS / 1_000, 3_000, 'the metric says how old the snapshot is');
  await Promise.all(ensemble().map((server) => server.launch()));
  await inReach();
  await all(pairs, (writer) => writer.more(20));
  await registeredAgain(before);
  // What is watched is watched again: somebody who goes is seen to go.
  await cluster.killNode('minions-ui-1');
  await until(async () => !('minions-ui-1' in (await starts())), 30_000, 'a node that has gone is seen to be gone');
  await cluster.launchNode('minions-ui-1');
  await settleUnrefused(pairs);
});

test('Redis killed and started again: connections stay, sends are refused meanwhile', { timeout: 120_000 }, async () => {
  const { cluster } = suite;
  const pairs = await talkers(suite.cluster, 3);
  await all(pairs, (writer) => writer.more(20));
  await cluster.servers.redis.kill9();
  await all(pairs, (writer) => writer.refused('unavailable'));
  await cluster.servers.redis.launch();
  await all(pairs, (writer) => writer.more(20, 30_000));
  await cluster.ready();
  await settle(pairs);
});

test('Redis frozen for a while: the same', { timeout: 120_000 }, async () => {
  const { cluster } = suite;
  const pairs = await talkers(suite.cluster, 2);
  await all(pairs, (writer) => writer.more(20));
  cluster.servers.redis.freeze();
  await all(pairs, (writer) => writer.refused('unavailable'));
  cluster.servers.redis.thaw();
  await all(pairs, (writer) => writer.more(20, 30_000));
  await settle(pairs);
});
