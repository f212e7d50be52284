// Rooms: live only, tied to the connection, on every spear.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Client, usersOnDifferentSpears } from '../support/client.mjs';
import { unique, withCluster } from '../support/suite.mjs';
import { until } from '../support/wait.mjs';

const suite = withCluster();

// Counts of other nodes may lag by a second.
const COUNT_MS = 10_000;

/** Users on both spears, connected. */
async function crowd(perSpear = 1) {
  const clients = [];
  for (let round = 0; round < perSpear; round += 1) {
    const users = Object.values(await usersOnDifferentSpears(suite.cluster, unique('u')));
    clients.push(...(await Promise.all(users.map((user) => Client.connect(suite.cluster, user)))));
  }
  return clients;
}

const join = (client, room) => client.must('join', { room });
const send = (client, room, body, more = {}) => client.must('send', { to: { room }, body, ...more });
const received = (client, room) => client.messages.filter((message) => message.conversation === `r:${room}`);
const bodies = (client, room) => received(client, room).map((message) => message.body);

/** Waits until a member knows of this many; joining again says how many there are. */
function counts(client, room, count) {
  return until(async () => (await join(client, room)).members === count, COUNT_MS, `${client.user} counts ${count}`);
}

/** All of them are in a new room, and know it. */
async function roomOf(...members) {
  const room = unique('r');
  for (const member of members) await join(member, room);
  for (const member of members) await counts(member, room, members.length);
  return room;
}

test('everybody in a room gets what is sent there, in the order of each sender', async () => {
  const members = await crowd(3);
  const room = await roomOf(...members);
  const answers = await Promise.all(
    members.flatMap((member) => Array.from({ length: 20 }, (_, number) => send(member, room, number))),
  );
  assert.equal(new Set(answers.map((answer) => answer.id)).size, answers.length, 'ids differ');
  for (const { ok, id, sent_at, ...more } of answers) {
    assert.deepEqual([ok, typeof id, typeof sent_at, more], [true, 'string', 'number', {}]);
  }
  for (const member of members) {
    const others = members.filter((other) => other !== member);
    await until(() => received(member, room).length >= others.length * 20, 10_000, `${member.user} has everything`);
    assert.equal(received(member, room).length, others.length * 20, 'each once, and not their own');
    for (const other of others) {
      const from = received(member, room).filter((message) => message.from === other.user);
      assert.deepEqual(from.map((message) => message.body), Array.from({ length: 20 }, (_, number) => number));
    }
  }
});

test('a message of a room has no seq, and is stored nowhere', async () => {
  const [alice, bob] = await crowd();
  const room = await roomOf(alice, bob);
  const { id, sent_at } = await send(alice, room, { any: 'JSON' }, { cid: 'c-1', type: 'greeting' });
  const message = await bob.event('message');
  assert.deepEqual(message, {
    conversation: `r:${room}`,
    id,
    cid: 'c-1',
    from: alice.user,
    device: 'default',
    to: { room },
    type: 'greeting',
    body: { any: 'JSON' },
    sent_at,
  });
  const { conversations } = await bob.must('conversations', {});
  assert.deepEqual(conversations, []);
  assert.equal((await bob.ask('sync', { conversation: `r:${room}` })).error.code, 'bad_request');
});

test("the sender's other connections in the room get it, those outside do not", async () => {
  const [alice, bob] = await crowd();
  const [inside, outside] = await Promise.all(
    ['tablet', 'pad'].map((device) => Client.connect(suite.cluster, alice.user, { device })),
  );
  const room = await roomOf(alice, bob, inside);
  await send(alice, room, 'hello');
  await Promise.all([bob, inside].map((client) => client.event('message')));
  assert.deepEqual([bodies(inside, room), bodies(outside, room), bodies(alice, room)], [['hello'], [], []]);
});

test('who is not in the room neither sends nor hears', async () => {
  const [alice, bob, stranger] = await crowd(2);
  const room = await roomOf(alice, bob);
  assert.equal((await stranger.ask('send', { to: { room }, body: 1 })).error.code, 'not_member');
  assert.equal((await stranger.ask('leave', { room })).error.code, 'not_member');
  assert.equal((await bob.must('leave', { room })).members, 1);
  assert.equal((await bob.ask('send', { to: { room }, body: 1 })).error.code, 'not_member');
  await send(alice, room, 'alone');
  // What comes after it on the same way has come.
  await alice.sendTo(bob.user, 'marker');
  await bob.event('message', (message) => message.body === 'marker');
  assert.deepEqual([bodies(bob, room), bodies(stranger, room)], [[], []]);
  await join(bob, room);
  await counts(alice, room, 2);
  await send(alice, room, 'together');
  await bob.event('message', (message) => message.body === 'together');
});

test('members are counted, on whichever spear they are', async () => {
  const members = await crowd(3);
  const room = unique('r');
  assert.equal((await join(members[0], room)).members, 1);
  assert.equal((await join(members[0], room)).members, 1, 'twice is once');
  for (const member of members) await join(member, room);
  for (const member of members) await counts(member, room, members.length);
  const total = async () => (await suite.cluster.stat('GET', '/v1/totals')).body.rooms;
  await until(async () => (await total()) >= 2, COUNT_MS, 'both spears report a room');
  await members[1].must('leave', { room });
  for (const member of members.filter((each) => each !== members[1])) {
    await counts(member, room, members.length - 1);
  }
});

test('a connection that ends leaves the room, one that is cut too', async () => {
  const [alice, bob, carol] = await crowd(2);
  const room = await roomOf(alice, bob, carol);
  bob.close();
  await counts(alice, room, 2);
  carol.cut();
  await counts(alice, room, 1);
  const back = await Client.connect(suite.cluster, bob.user);
  assert.equal((await back.ask('send', { to: { room }, body: 1 })).error.code, 'not_member', 'nor is it in again');
  await join(back, room);
  await counts(alice, room, 2);
  await send(alice, room, 'again');
  await back.event('message', (message) => message.body === 'again');
});

test('what cannot be done is refused with its code', async () => {
  const [alice, bob] = await crowd();
  const room = await roomOf(alice, bob);
  const bad = [
    ['join', {}],
    ['join', null],
    ['join', { room: 'a b' }],
    ['join', { room: '' }],
    ['join', { room, group: 'g' }],
    ['join', [room]],
    ['leave', { room: 7 }],
    ['send', { to: { room } }],
    ['send', { to: { room }, body: 1, cid: 'x'.repeat(65) }],
  ];
  for (const [event, payload] of bad) {
    assert.equal((await alice.ask(event, payload)).error.code, 'bad_request', `${event} ${JSON.stringify(payload)}`);
  }
  const large = { to: { room }, body: 'x'.repeat(65 * 1024) };
  assert.equal((await alice.ask('send', large)).error.code, 'too_large');
  for (let number = 1; number < 100; number += 1) await join(alice, `${room}-${number}`);
  assert.equal((await alice.ask('join', { room: `${room}-100` })).error.code, 'rate_limited');
  await alice.must('leave', { room: `${room}-1` });
  await join(alice, `${room}-100`);
});
