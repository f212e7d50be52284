// Users talk: across spears, from several devices, in order, each message once.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Client, directConversation, history, usersOnDifferentSpears } from '../support/client.mjs';
import { unique, withCluster } from '../support/suite.mjs';

const suite = withCluster();

/** Two users who live on different spears, connected. */
async function pair() {
  const users = await usersOnDifferentSpears(suite.cluster, unique('u'));
  const [alice, bob] = await Promise.all(
    Object.values(users).map((user) => Client.connect(suite.cluster, user)),
  );
  assert.notEqual(alice.node, bob.node);
  return [alice, bob, directConversation(alice.user, bob.user)];
}

test('a connection is told who it is and where', async () => {
  const user = unique('u');
  const client = await Client.connect(suite.cluster, user, { device: 'phone-1' });
  const { protocol, device, session, node, server_at, resumed } = client.ready;
  assert.deepEqual([protocol, client.ready.user, device, node], [1, user, 'phone-1', client.node]);
  assert.ok(session);
  assert.ok(Math.abs(server_at - Date.now()) < 60_000);
  assert.equal(resumed, false);
});

test('two users on different spears talk', async () => {
  const [alice, bob, conversation] = await pair();
  const sent = await alice.sendTo(bob.user, { text: 'hello, Bob ☕' }, { cid: 'c-1' });
  const [message] = await bob.receives(conversation, 1);
  assert.deepEqual(message, {
    conversation,
    seq: 1,
    id: sent.id,
    cid: 'c-1',
    from: alice.user,
    device: 'default',
    to: { user: bob.user },
    type: 'text',
    body: { text: 'hello, Bob ☕' },
    sent_at: sent.sent_at,
  });
  assert.match(sent.id, /^[0-9]{10,20}$/);
  assert.deepEqual([sent.seq, sent.conversation, sent.duplicate], [1, conversation, false]);

  const answer = await bob.sendTo(alice.user, ['any', { json: 1.5 }, null], { type: 'note' });
  assert.equal(answer.seq, 2);
  assert.ok(answer.sent_at >= sent.sent_at);
  const [reply] = await alice.receives(conversation, 1);
  assert.deepEqual([reply.seq, reply.type, reply.body], [2, 'note', ['any', { json: 1.5 }, null]]);
});

test('long-polling carries a conversation too', async () => {
  const users = Object.values(await usersOnDifferentSpears(suite.cluster, unique('u')));
  const alice = await Client.connect(suite.cluster, users[0], { socket: { transports: ['polling'] } });
  const bob = await Client.connect(suite.cluster, users[1], { socket: { transports: ['polling', 'websocket'] } });
  const conversation = directConversation(alice.user, bob.user);
  await alice.sendTo(bob.user, 'over polling');
  await bob.sendTo(alice.user, 'and back');
  assert.equal((await bob.receives(conversation, 1))[0].body, 'over polling');
  assert.equal((await alice.receives(conversation, 1))[0].body, 'and back');
});

test("the sender's other devices get the message, the sending connection does not", async () => {
  const [phone, bob, conversation] = await pair();
  const tablet = await Client.connect(suite.cluster, phone.user, { device: 'tablet' });
  const bobsTv = await Client.connect(suite.cluster, bob.user, { device: 'tv' });
  await phone.sendTo(bob.user, 'one');
  for (const device of [tablet, bob, bobsTv]) {
    const [message] = await device.receives(conversation, 1);
    assert.deepEqual([message.from, message.device, message.body], [phone.user, 'default', 'one']);
  }
  // Bob's answer comes after anything that might have come of the first one.
  await bob.sendTo(phone.user, 'two');
  await phone.receives(conversation, 1);
  assert.deepEqual(phone.messages.map((message) => message.seq), [2]);
});

test('a user writes to themselves', async () => {
  const user = unique('u');
  const [phone, tablet] = [
    await Client.connect(suite.cluster, user, { device: 'phone' }),
    await Client.connect(suite.cluster, user, { device: 'tablet' }),
  ];
  const sent = await phone.sendTo(user, 'remember the milk');
  assert.equal(sent.conversation, `u:${user}:${user}`);
  assert.equal((await tablet.receives(sent.conversation, 1))[0].body, 'remember the milk');
});

test('names with colons make a conversation that can be read', async () => {
  const [a, b] = [unique('x:y'), unique('m@host.org')];
  const [alice, bob] = [await Client.connect(suite.cluster, a), await Client.connect(suite.cluster, b)];
  const sent = await alice.sendTo(b, 1);
  assert.equal(sent.conversation, directConversation(a, b));
  assert.match(sent.conversation, /%3A/);
  await bob.receives(sent.conversation, 1);
});

test('200 pipelined sends arrive in order, and their seqs increase', async () => {
  const [alice, bob, conversation] = await pair();
  const answers = await Promise.all(
    Array.from({ length: 200 }, (_, number) => alice.sendTo(bob.user, number, { cid: `p-${number}` })),
  );
  assert.deepEqual(answers.map((answer) => answer.seq), Array.from({ length: 200 }, (_, index) => index + 1));
  const ids = answers.map((answer) => BigInt(answer.id));
  assert.ok(ids.every((id, index) => index === 0 || id > ids[index - 1]), 'ids increase');
  await bob.receives(conversation, 200);
  // Not deduped: in order, and each once.
  assert.deepEqual(bob.messages.map((message) => [message.seq, message.body]), answers.map(({ seq }, index) => [seq, index]));
});

test('both sides write at once, and both see one order', async () => {
  const [alice, bob, conversation] = await pair();
  const send = (from, to) => Promise.all(Array.from({ length: 50 }, (_, number) => from.sendTo(to.user, number)));
  const [ofAlice, ofBob] = await Promise.all([send(alice, bob), send(bob, alice)]);
  const seqs = [...ofAlice, ...ofBob].map((answer) => answer.seq).sort((a, b) => a - b);
  assert.deepEqual(seqs, Array.from({ length: 100 }, (_, index) => index + 1));
  await Promise.all([alice.receives(conversation, 50), bob.receives(conversation, 50)]);
  for (const client of [alice, bob]) {
    const got = client.messages.map((message) => message.seq);
    assert.deepEqual(got, [...got].sort((a, b) => a - b), `${client.user} gets them in order`);
  }
  const { messages } = await history(alice, conversation);
  assert.ok(messages.every(({ sent_at }, index) => index === 0 || sent_at >= messages[index - 1].sent_at));
});

test('the same cid again is stored once and says so', async () => {
  const [alice, bob, conversation] = await pair();
  const first = await alice.sendTo(bob.user, 'once', { cid: 'same' });
  const again = await alice.sendTo(bob.user, 'once', { cid: 'same' });
  assert.deepEqual([again.id, again.seq, again.sent_at, again.duplicate], [first.id, first.seq, first.sent_at, true]);
  // Even both at once, and from another device.
  const tablet = await Client.connect(suite.cluster, alice.user, { device: 'tablet' });
  const both = await Promise.all(
    [alice, tablet].map((device) => device.sendTo(bob.user, 'race', { cid: 'raced' })),
  );
  assert.equal(both[0].id, both[1].id);
  assert.deepEqual(both.map((answer) => answer.duplicate).sort(), [false, true]);
  // The other user's cids are their own.
  const other = await bob.sendTo(alice.user, 'mine', { cid: 'same' });
  assert.deepEqual([other.seq, other.duplicate], [3, false]);
  const { messages } = await history(bob, conversation);
  assert.deepEqual(messages.map((message) => message.body), ['once', 'race', 'mine']);
});

test('sync pages forwards, backwards and within bounds', async () => {
  const [alice, bob, conversation] = await pair();
  await Promise.all(Array.from({ length: 25 }, (_, index) => alice.sendTo(bob.user, index + 1)));
  const page = async (more) => {
    const { messages, more: further, last_seq } = await bob.must('sync', { conversation, ...more });
    assert.equal(last_seq, 25);
    return [messages.map((message) => message.seq), further];
  };
  const range = (from, to) => Array.from({ length: to - from + 1 }, (_, index) => from + index);
  assert.deepEqual(await page({ after: 0, limit: 10 }), [range(1, 10), true]);
  assert.deepEqual(await page({ after: 20, limit: 10 }), [range(21, 25), false]);
  assert.deepEqual(await page({ limit: 10 }), [range(16, 25), true]);
  assert.deepEqual(await page({ before: 16, limit: 10 }), [range(6, 15), true]);
  assert.deepEqual(await page({ before: 6, limit: 10 }), [range(1, 5), false]);
  assert.deepEqual(await page({ after: 5, before: 9 }), [[6, 7, 8], false]);
  assert.deepEqual(await page({ after: 25 }), [[], false]);
  assert.equal((await history(alice, conversation, 7)).messages.length, 25);

  const stranger = await Client.connect(suite.cluster, unique('u'));
  assert.equal((await stranger.ask('sync', { conversation })).error.code, 'forbidden');
});

test('the list of conversations has the most recent first, with what is unread', async () => {
  const me = await Client.connect(suite.cluster, unique('me'));
  const friends = await Promise.all(['a', 'b', 'c'].map((name) => Client.connect(suite.cluster, unique(name))));
  for (const friend of friends) {
    await friend.sendTo(me.user, `from ${friend.user}`);
    await friend.sendTo(me.user, 'and again');
  }
  await me.sendTo(friends[1].user, 'an answer');
  const expected = [friends[1], friends[2], friends[0]].map((friend) => directConversation(me.user, friend.user));

  const { conversations, cursor } = await me.must('conversations', {});
  assert.deepEqual(conversations.map((entry) => entry.conversation), expected);
  assert.equal(cursor ?? null, null);
  const [answered, unread] = conversations;
  assert.deepEqual([answered.last_seq, answered.read_seq, answered.unread], [3, 3, 0], 'an own send reads what was before');
  assert.deepEqual([unread.last_seq, unread.read_seq, unread.unread], [2, 0, 2]);
  assert.equal(unread.last_message.body, 'and again');
  assert.equal(unread.peer_read_seq, 2, 'they have read what they wrote');

  const first = await me.must('conversations', { limit: 2 });
  const rest = await me.must('conversations', { limit: 2, cursor: first.cursor });
  assert.deepEqual([...first.conversations, ...rest.conversations].map((entry) => entry.conversation), expected);
});

test('a back end sends as a user, and reads the history', async () => {
  const [alice, bob, conversation] = await pair();
  const { status, body } = await suite.cluster.stat('POST', '/v1/messages', {
    from: alice.user, to: { user: bob.user }, type: 'text', body: 'by the back end', cid: 'b-1',
  });
  assert.ok(status === 200 || status === 201, `${status} ${JSON.stringify(body)}`);
  for (const client of [alice, bob]) {
    const [message] = await client.receives(conversation, 1);
    assert.deepEqual([message.from, message.body, message.id], [alice.user, 'by the back end', body.id]);
  }
  const page = await suite.cluster.stat('GET', `/v1/conversations/${encodeURIComponent(conversation)}/messages`);
  assert.deepEqual(page.body.messages.map((message) => message.body), ['by the back end']);
});
