// Presence, as clients and back ends are told.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Client, usersOnDifferentSpears } from '../support/client.mjs';
import { unique, withCluster } from '../support/suite.mjs';
import { until } from '../support/wait.mjs';

const suite = withCluster();

async function pair() {
  const users = Object.values(await usersOnDifferentSpears(suite.cluster, unique('u')));
  return Promise.all(users.map((user) => Client.connect(suite.cluster, user)));
}

async function presenceOf(asker, ...users) {
  return (await asker.must('presence', { users })).presence;
}

test('who is online is told with every device, on whichever spear', async () => {
  const [alice, bob] = await pair();
  const tablet = await Client.connect(suite.cluster, bob.user, { device: 'tablet', avoid: [bob.node] });
  const nobody = unique('nobody');
  const presence = await presenceOf(alice, alice.user, bob.user, nobody, bob.user);
  assert.deepEqual(Object.keys(presence).sort(), [alice.user, bob.user, nobody].sort());
  assert.deepEqual(presence[nobody], { online: false, devices: [], last_seen_at: null });
  assert.equal(presence[alice.user].online, true);
  const { online, devices, last_seen_at } = presence[bob.user];
  assert.equal(online, true);
  assert.deepEqual(
    devices.map(({ device, node }) => [device, node]),
    [['default', bob.node], ['tablet', tablet.node]],
  );
  assert.ok(devices.every(({ since_at }) => Math.abs(since_at - Date.now()) < 60_000));
  assert.equal(last_seen_at, devices[1].since_at);
});

test('who goes is offline, and was last seen then', async () => {
  const [alice, bob] = await pair();
  const before = (await presenceOf(alice, bob.user))[bob.user];
  bob.close();
  const after = await until(
    async () => {
      const presence = (await presenceOf(alice, bob.user))[bob.user];
      return presence.online ? undefined : presence;
    },
    10_000,
    'bob is offline',
  );
  assert.deepEqual(after.devices, []);
  assert.ok(after.last_seen_at >= before.last_seen_at);
  await Client.connect(suite.cluster, bob.user);
  assert.equal((await presenceOf(alice, bob.user))[bob.user].online, true);
});

test('a back end is told the same', async () => {
  const [alice, bob] = await pair();
  const { status, body } = await suite.cluster.stat('GET', `/v1/users/${bob.user}/presence`);
  assert.equal(status, 200);
  assert.deepEqual(body, { user: bob.user, ...(await presenceOf(alice, bob.user))[bob.user] });
});

test('a question about nobody or too many is refused', async () => {
  const [alice] = await pair();
  const many = Array.from({ length: 101 }, (_, number) => `u-${number}`);
  for (const payload of [{}, { users: [] }, { users: 'bob' }, { users: ['a b'] }, { users: many }, { user: 'bob' }]) {
    assert.equal((await alice.ask('presence', payload)).error.code, 'bad_request', JSON.stringify(payload));
  }
  assert.equal(Object.keys(await presenceOf(alice, ...many.slice(1))).length, 100);
});
