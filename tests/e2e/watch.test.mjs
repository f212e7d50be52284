// Watching: who comes and goes is told to whoever wants to know.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Client, usersOnDifferentSpears } from '../support/client.mjs';
import { unique, withCluster } from '../support/suite.mjs';

// Devices that are gone so long are told of.
const OFFLINE_AFTER_MS = 4_000;

const suite = withCluster({
  env: {
    PHALANX__SPEAR__WATCH__OFFLINE_AFTER_MS: String(OFFLINE_AFTER_MS),
    // No sweep helps out: what is told here is told by hints.
    PHALANX__SPEAR__DELIVERY__SWEEP_INTERVAL_MS: '3600000',
    PHALANX__SPEAR__DELIVERY__SUSPECT_SWEEP_INTERVAL_MS: '3600000',
  },
});

/** Two users on different spears, of whom the first one is connected. */
async function aliceAndBob() {
  const [alice, bob] = Object.values(await usersOnDifferentSpears(suite.cluster, unique('u')));
  return [await Client.connect(suite.cluster, alice), bob];
}

/** What was told of a user, in order: the names of the devices. */
const told = (client, user) =>
  client.events
    .filter(({ name, payload }) => name === 'presence' && payload.user === user)
    .map(({ payload }) => {
      assert.equal(payload.online, payload.devices.length > 0);
      return payload.devices.map(({ device }) => device).join(' ');
    });

const offline = (user) => (presence) => presence.user === user && !presence.online;
const online = (user, count = 1) => (presence) => presence.user === user && presence.devices.length === count;

test('how it stands is told after the acknowledgement, and what changes from then on', async () => {
  const [alice, bob] = await aliceAndBob();
  const { user } = alice;
  let answered = false;
  let early = 0;
  alice.socket.on('presence', () => (early += answered ? 0 : 1));
  // Not a promise: both may come at once, and it would be fulfilled a moment later.
  alice.socket.emit('watch', { users: [bob, user] }, ({ ok }) => (answered = ok));
  await alice.event('presence', offline(bob));
  const own = await alice.event('presence', online(user));
  assert.equal(early, 0);
  assert.deepEqual(own, {
    user,
    online: true,
    devices: [{ device: 'default', node: alice.node, since_at: own.devices[0].since_at }],
  });

  const phone = await Client.connect(suite.cluster, bob, { device: 'phone' });
  assert.equal((await alice.event('presence', online(bob))).devices[0].node, phone.node);
  const pad = await Client.connect(suite.cluster, bob, { device: 'pad', avoid: [phone.node] });
  await alice.event('presence', online(bob, 2));
  phone.close();
  await alice.event('presence', ({ devices }) => devices.length === 1 && devices[0].device === 'pad');
  pad.cut();
  await alice.event('presence', ({ user, online }) => user === bob && !online && told(alice, bob).length > 4);
  assert.deepEqual(told(alice, bob), ['', 'phone', 'pad phone', 'pad', '']);
  assert.deepEqual(told(alice, user), ['default'], 'nothing of what did not change');
});

test('who comes back soon was never offline', async () => {
  const [alice, bob] = await aliceAndBob();
  const carol = unique('carol');
  const [first, other] = await Promise.all([bob, carol].map((user) => Client.connect(suite.cluster, user)));
  await alice.must('watch', { users: [bob, carol] });
  await alice.event('presence', online(bob));
  await alice.event('presence', online(carol));
  first.close();
  await first.ended();
  const again = await Client.connect(suite.cluster, bob, { avoid: [first.node] });
  assert.notEqual(again.node, first.node);
  await alice.event('presence', ({ devices }) => devices[0]?.node === again.node);
  // She goes after he did: by the time that this is told, he would have been.
  other.close();
  await alice.event('presence', offline(carol));
  assert.deepEqual(told(alice, bob), ['default', 'default']);
});

test('everybody who watches is told, wherever; who does not any more is not', async () => {
  const [alice, bob] = await aliceAndBob();
  const tablet = await Client.connect(suite.cluster, alice.user, { device: 'tablet', avoid: [alice.node] });
  const carol = unique('carol');
  const watchers = [alice, tablet];
  for (const watcher of watchers) {
    await watcher.must('watch', { users: [bob, carol] });
    await watcher.event('presence', offline(bob));
    await watcher.event('presence', offline(carol));
  }
  assert.notEqual(alice.node, tablet.node);
  await tablet.must('unwatch', { users: [bob, 'nobody-at-all'] });
  await Client.connect(suite.cluster, bob);
  await Client.connect(suite.cluster, carol);
  for (const watcher of watchers) await watcher.event('presence', online(carol));
  await alice.event('presence', online(bob));
  assert.deepEqual(told(tablet, bob), ['']);
  // Asked again, it tells again.
  await tablet.must('watch', { users: [bob] });
  await tablet.event('presence', online(bob));
  await tablet.must('watch', { users: [bob] });
  await tablet.event('presence', () => told(tablet, bob).length === 3);
});

test('what is watched ends with the connection', async () => {
  const [alice, bob] = await aliceAndBob();
  await alice.must('watch', { users: [bob] });
  await alice.event('presence', offline(bob));
  alice.close();
  await alice.ended();
  const again = await Client.connect(suite.cluster, alice.user);
  const carol = unique('carol');
  await again.must('watch', { users: [carol] });
  await again.event('presence', offline(carol));
  await Client.connect(suite.cluster, bob);
  await Client.connect(suite.cluster, carol);
  await again.event('presence', online(carol));
  assert.deepEqual(told(again, bob), []);
});

test('nobody, too many, and what is no list of users', async () => {
  const [alice] = await aliceAndBob();
  const many = Array.from({ length: 201 }, (_, number) => unique(`u-${number}`));
  for (const payload of [undefined, {}, { users: [] }, { users: 'bob' }, { users: ['a b'] }, { user: 'bob' }, { users: many }]) {
    for (const event of ['watch', 'unwatch']) {
      assert.equal((await alice.ask(event, payload)).error.code, 'bad_request', `${event} ${JSON.stringify(payload)}`);
    }
  }
  await alice.must('watch', { users: many.slice(0, 150) });
  assert.equal((await alice.ask('watch', { users: many.slice(100, 201) })).error.code, 'rate_limited');
  await alice.must('unwatch', { users: many.slice(0, 1) });
  await alice.must('watch', { users: many.slice(100, 201) });
});
