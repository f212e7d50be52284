// A device that was cut off gets what it has not confirmed, in order, before anything new.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Client, directConversation, usersOnDifferentSpears } from '../support/client.mjs';
import { unique, withCluster } from '../support/suite.mjs';

const suite = withCluster();

async function pair() {
  const users = Object.values(await usersOnDifferentSpears(suite.cluster, unique('u')));
  const [alice, bob] = await Promise.all(users.map((user) => Client.connect(suite.cluster, user)));
  return [alice, bob, directConversation(alice.user, bob.user)];
}

const bodies = (messages) => messages.map((message) => message.body);

test('what was not confirmed is replayed, what was confirmed is not', async () => {
  const [alice, bob, conversation] = await pair();
  for (const body of [1, 2, 3, 4]) await alice.sendTo(bob.user, body);
  await bob.receives(conversation, 4);
  await bob.confirm(conversation, 2);
  await bob.leave();
  for (const body of [5, 6]) await alice.sendTo(bob.user, body);
  const back = await Client.connect(suite.cluster, bob.user);
  assert.equal(back.ready.resumed, true);
  await alice.sendTo(bob.user, 7);
  await back.receives(conversation, 5);
  assert.deepEqual(bodies(back.messages), [3, 4, 5, 6, 7]);
  assert.deepEqual(back.messages.map((message) => message.seq), [3, 4, 5, 6, 7]);
});

test('a cut without goodbye loses nothing', async () => {
  const [alice, bob, conversation] = await pair();
  await alice.sendTo(bob.user, 1);
  await bob.receives(conversation, 1);
  bob.cut();
  await alice.sendTo(bob.user, 2);
  const back = await Client.connect(suite.cluster, bob.user);
  await back.receives(conversation, 2);
  assert.deepEqual(bodies(back.messages), [1, 2]);
});

test('replay comes before live messages, also while somebody goes on writing', async () => {
  const [alice, bob, conversation] = await pair();
  bob.close();
  const before = 300;
  await Promise.all(Array.from({ length: before }, (_, index) => alice.sendTo(bob.user, index + 1)));
  const connecting = Client.connect(suite.cluster, bob.user);
  const more = 300;
  await Promise.all(Array.from({ length: more }, (_, index) => alice.sendTo(bob.user, before + index + 1)));
  const back = await connecting;
  await back.receives(conversation, before + more);
  const seqs = back.messages.map((message) => message.seq);
  assert.deepEqual(seqs, Array.from({ length: before + more }, (_, index) => index + 1));
});

test('each device has its own place, and a second one starts with what comes after it', async () => {
  const [alice, phone, conversation] = await pair();
  await alice.sendTo(phone.user, 1);
  await phone.receives(conversation, 1);
  await phone.confirm(conversation, 1);
  const tablet = await Client.connect(suite.cluster, phone.user, { device: 'tablet' });
  assert.equal(tablet.ready.resumed, false);
  await alice.sendTo(phone.user, 2);
  for (const [device, expected] of [[phone, [1, 2]], [tablet, [2]]]) {
    await device.receives(conversation, expected.length);
    assert.deepEqual(bodies(device.messages), expected);
  }
});

test('a user who never was here finds what was sent to them', async () => {
  const alice = await Client.connect(suite.cluster, unique('u'));
  const bob = unique('u');
  for (const body of [1, 2, 3]) await alice.sendTo(bob, body);
  const first = await Client.connect(suite.cluster, bob);
  assert.deepEqual(bodies(await first.receives(directConversation(alice.user, bob), 3)), [1, 2, 3]);
});

test("an unconfirmed message of one's own is replayed", async () => {
  const [alice, bob, conversation] = await pair();
  await alice.sendTo(bob.user, 'mine');
  alice.close();
  const back = await Client.connect(suite.cluster, alice.user);
  assert.deepEqual(bodies(await back.receives(conversation, 1)), ['mine']);
});

test('many conversations are resumed at once', async () => {
  const bob = unique('u');
  const friends = await Promise.all(Array.from({ length: 20 }, () => Client.connect(suite.cluster, unique('f'))));
  await Promise.all(friends.flatMap((friend) => [1, 2, 3].map((body) => friend.sendTo(bob, body))));
  const back = await Client.connect(suite.cluster, bob);
  for (const friend of friends) {
    const messages = await back.receives(directConversation(friend.user, bob), 3);
    assert.deepEqual(messages.map((message) => message.seq), [1, 2, 3]);
  }
  assert.equal(back.messages.length, 60, 'each once');
});

test('a confirmation of what was never given is clamped', async () => {
  const [alice, bob, conversation] = await pair();
  await alice.sendTo(bob.user, 1);
  await bob.receives(conversation, 1);
  await bob.confirm(conversation, 1_000_000);
  await bob.leave();
  await alice.sendTo(bob.user, 2);
  const back = await Client.connect(suite.cluster, bob.user);
  await back.receives(conversation, 1);
  assert.deepEqual(bodies(back.messages), [2]);
});

test('the same device connected again replaces the older connection', async () => {
  const [alice, bob, conversation] = await pair();
  const tablet = await Client.connect(suite.cluster, bob.user, { device: 'tablet' });
  const again = await Client.connect(suite.cluster, bob.user);
  const kicked = await bob.event('kicked');
  assert.equal(kicked.reason, 'replaced');
  assert.equal(kicked.reconnect, false);
  await bob.ended();
  await alice.sendTo(bob.user, 'who hears me?');
  await Promise.all([again, tablet].map((device) => device.receives(conversation, 1)));
  assert.equal(bob.messages.length, 0);
  assert.equal(tablet.disconnected, undefined);
});

test('the same device on the other spear replaces it too', async () => {
  const [, bob] = await pair();
  const elsewhere = await Client.connect(suite.cluster, bob.user, { avoid: [bob.node] });
  assert.notEqual(elsewhere.node, bob.node);
  assert.equal((await bob.event('kicked')).reason, 'replaced');
  await bob.ended();
  assert.equal(elsewhere.disconnected, undefined);
});
