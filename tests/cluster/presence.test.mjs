// Given a cluster with a process for every node, when a spear is killed or loses its session, then presence says so to everybody,
// and takes it back only where it was wrong.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Client, usersOnDifferentSpears } from '../support/client.mjs';
import { unique, withCluster } from '../support/suite.mjs';
import { until } from '../support/wait.mjs';

// The profile's session time-out is 3 s: so long a dead node stays in the roster.
const GONE_MS = 3_000 + 10_000;
// The setting watch.offline_after_ms.
const OFFLINE_AFTER_MS = 3_000;

const suite = withCluster();

async function pair() {
  const users = Object.values(await usersOnDifferentSpears(suite.cluster, unique('u')));
  return Promise.all(users.map((user) => Client.connect(suite.cluster, user)));
}

async function presenceOf(asker, { user }) {
  return (await asker.must('presence', { users: [user] })).presence[user];
}

/** What a back end is told. */
async function told({ user }) {
  const { user: _, ...presence } = (await suite.cluster.stat('GET', `/v1/users/${user}/presence`)).body;
  return presence;
}

test('a killed spear: its users are offline for everybody, and its rooms are empty there', async () => {
  const [alice, bob] = await pair();
  const room = unique('r');
  await bob.must('join', { room });
  await until(async () => (await alice.must('join', { room })).members === 2, 10_000, 'both are in');
  const before = await presenceOf(alice, bob);
  assert.equal(before.online, true);
  await alice.must('watch', { users: [bob.user] });
  await alice.event('presence', ({ online }) => online);

  await suite.cluster.killNode(bob.node);
  await alice.event('presence', ({ online }) => !online, GONE_MS + OFFLINE_AFTER_MS);
  await until(async () => !(await presenceOf(alice, bob)).online, GONE_MS, 'bob is offline');
  const after = await presenceOf(alice, bob);
  assert.deepEqual(after, { online: false, devices: [], last_seen_at: before.last_seen_at });
  await until(async () => !(await told(bob)).online, GONE_MS, 'and for back ends');
  assert.equal((await alice.must('join', { room })).members, 1);

  // The next start of the spear does not bring back whom the last one held.
  await suite.cluster.launchNode(bob.node);
  assert.equal((await presenceOf(alice, bob)).online, false);
  const back = await until(() => Client.connect(suite.cluster, bob.user).catch(() => undefined), GONE_MS, 'bob is back');
  await until(async () => (await presenceOf(alice, bob)).online, 10_000, 'bob is online');
  await alice.event('presence', ({ devices }) => devices[0]?.since_at > before.last_seen_at);
  await back.must('join', { room });
  await until(async () => (await alice.must('join', { room })).members === 2, 10_000, 'both are in again');
});

test('a killed spear whose users come back elsewhere in time: nobody who watches hears that they were gone', async () => {
  const [alice, bob] = await pair();
  const carol = await Client.connect(suite.cluster, unique('carol'), { avoid: [bob.node] });
  await alice.must('watch', { users: [bob.user, carol.user] });
  await alice.event('presence', ({ user }) => user === bob.user);
  await alice.event('presence', ({ user }) => user === carol.user);
  await suite.cluster.killNode(bob.node);
  const back = await until(() => Client.connect(suite.cluster, bob.user, { avoid: [bob.node] }).catch(() => undefined), GONE_MS, 'bob is back');
  await alice.event('presence', ({ devices }) => devices[0]?.node === back.node);
  await suite.cluster.launchNode(bob.node);
  // By the time that she is told to be gone, he would have been.
  carol.close();
  await alice.event('presence', ({ user, online }) => user === carol.user && !online, GONE_MS);
  assert.ok(alice.events.every(({ name, payload }) => name !== 'presence' || payload.user !== bob.user || payload.online));
});

test('a spear whose session expires: its users are online again once it has registered again', async () => {
  const [alice, bob] = await pair();
  const room = unique('r');
  await bob.must('join', { room });
  await until(async () => (await alice.must('join', { room })).members === 2, 10_000, 'both are in');
  const before = await presenceOf(alice, bob);
  const { process } = suite.cluster.nodes.get(bob.node);

  process.signal('SIGSTOP');
  await until(async () => !(await presenceOf(alice, bob)).online, GONE_MS, 'a spear that does not answer counts as gone');
  assert.equal((await alice.must('join', { room })).members, 1);
  process.signal('SIGCONT');
  await until(async () => (await presenceOf(alice, bob)).online, GONE_MS, 'it has registered again');
  assert.deepEqual(await presenceOf(alice, bob), before, 'the same connection, as long as before');
  assert.equal(bob.disconnected, undefined);
  await until(async () => (await alice.must('join', { room })).members === 2, 10_000, 'and in the room all the while');
  await alice.must('send', { to: { room }, body: 'still here?' });
  await bob.event('message', (message) => message.body === 'still here?');
});
