// What happens to messages after they were sent: they are read, and taken back.

import assert from 'node:assert/strict';
import { suite as describe, test } from 'node:test';

import { Client, directConversation, history, usersOnDifferentSpears } from '../support/client.mjs';
import { unique, withCluster } from '../support/suite.mjs';

const SMALL_GROUP = 3;
const FREQUENT_SWEEPS = {
  PHALANX__SPEAR__DELIVERY__SWEEP_INTERVAL_MS: '500',
  PHALANX__SPEAR__DELIVERY__SUSPECT_SWEEP_INTERVAL_MS: '200',
};
const BUDGET_MS = 20_000;

/** Two users who live on different spears, connected. */
async function pair(suite) {
  const users = await usersOnDifferentSpears(suite.cluster, unique('u'));
  const [alice, bob] = await Promise.all(Object.values(users).map((user) => Client.connect(suite.cluster, user)));
  return [alice, bob, directConversation(alice.user, bob.user)];
}

async function group(suite, ...members) {
  const name = unique('g');
  const users = members.map((member) => member.user);
  await suite.cluster.stat('PUT', `/v1/groups/${name}`, {});
  await suite.cluster.stat('PUT', `/v1/groups/${name}/members`, { users });
  return name;
}

const payloads = (client, name) => client.events.filter((event) => event.name === name).map((event) => event.payload);

/** The answer to `conversations` about one of them. */
async function summary(client, conversation) {
  const { conversations } = await client.must('conversations', {});
  return conversations.find((entry) => entry.conversation === conversation);
}

/** Sends something, and waits for it: whatever was on its way before has come then. */
async function settle(from, to) {
  const { conversation, seq } = await from.sendTo(to.user, 'settle');
  await to.event('message', (message) => message.conversation === conversation && message.seq === seq);
}

describe('on a cluster that works', () => {
  const suite = withCluster({ env: { PHALANX__SPEAR__LIMITS__RECEIPT_MEMBERS: String(SMALL_GROUP) } });

  test('what is read is told to the other one and to all own devices but the one that said so', async () => {
    const [alice, bob, conversation] = await pair(suite);
    const tablet = await Client.connect(suite.cluster, bob.user, { device: 'tablet', avoid: [bob.node] });
    assert.notEqual(tablet.node, bob.node);
    for (const body of [1, 2, 3]) await alice.sendTo(bob.user, body);
    await bob.receives(conversation, 3);
    assert.deepEqual(await bob.must('read', { conversation, seq: 2 }), { ok: true });
    const receipt = { conversation, user: bob.user, read_seq: 2 };
    assert.deepEqual(await alice.event('receipt'), receipt);
    assert.deepEqual(await tablet.event('receipt'), receipt);
    assert.equal((await summary(bob, conversation)).unread, 1);
    assert.equal((await summary(bob, conversation)).read_seq, 2);
    assert.equal((await summary(alice, conversation)).peer_read_seq, 2);

    // Neither backwards nor past the end, and nothing is told twice.
    for (const seq of [1, 2, 1_000, 3]) await bob.must('read', { conversation, seq });
    assert.deepEqual(await alice.event('receipt', ({ read_seq }) => read_seq !== 2), { ...receipt, read_seq: 3 });
    assert.equal((await summary(bob, conversation)).unread, 0);
    await bob.sendTo(alice.user, 'an answer');
    await alice.must('read', { conversation, seq: 4 });
    assert.deepEqual(await bob.event('receipt'), { conversation, user: alice.user, read_seq: 4 });
    await settle(bob, alice);
    assert.deepEqual(payloads(alice, 'receipt').map(({ read_seq }) => read_seq), [2, 3]);
    assert.equal(payloads(bob, 'receipt').length, 1, 'the device that has read knows it');
  });

  test('a group up to the bound hears what its members have read, a larger one does not', async () => {
    const [alice, bob] = await pair(suite);
    const [carol, dave] = await pair(suite);
    const tablet = await Client.connect(suite.cluster, bob.user, { device: 'tablet', avoid: [bob.node] });
    const small = await group(suite, alice, bob, carol);
    const large = await group(suite, alice, bob, carol, dave);
    for (const name of [small, large]) {
      await alice.sendToGroup(name, 'hello');
      await Promise.all([bob, carol].map((member) => member.receives(`g:${name}`, 1)));
      await bob.must('read', { conversation: `g:${name}`, seq: 1 });
      const receipt = { conversation: `g:${name}`, user: bob.user, read_seq: 1 };
      assert.deepEqual(await tablet.event('receipt', ({ conversation }) => conversation === `g:${name}`), receipt);
      assert.equal((await summary(bob, `g:${name}`)).unread, 0);
    }
    const receipt = { conversation: `g:${small}`, user: bob.user, read_seq: 1 };
    for (const member of [alice, carol]) assert.deepEqual(await member.event('receipt'), receipt);
    await settle(bob, alice);
    await settle(bob, carol);
    for (const member of [alice, carol]) assert.equal(payloads(member, 'receipt').length, 1, member.user);
    assert.deepEqual(payloads(dave, 'receipt'), [], 'not a member of the small one');
    // One who has left hears no more.
    await suite.cluster.stat('DELETE', `/v1/groups/${small}/members`, { users: [carol.user] });
    await alice.sendToGroup(small, 'among two');
    await bob.receives(`g:${small}`, 2);
    await bob.must('read', { conversation: `g:${small}`, seq: 2 });
    await alice.event('receipt', ({ read_seq }) => read_seq === 2);
    await settle(bob, carol);
    assert.equal(payloads(carol, 'receipt').length, 1);
  });

  test('a recalled message is gone for everybody, and its place stays', async () => {
    const [alice, bob, conversation] = await pair(suite);
    const tablet = await Client.connect(suite.cluster, alice.user, { device: 'tablet', avoid: [alice.node] });
    const sent = [];
    for (const body of ['one', 'two', 'three']) sent.push(await alice.sendTo(bob.user, body, { cid: body }));
    await bob.receives(conversation, 3);
    assert.deepEqual(await alice.must('recall', { conversation, seq: 3 }), { ok: true });
    await alice.must('recall', { conversation, seq: 2 });
    for (const client of [alice, tablet, bob]) {
      for (const { seq, id } of sent.slice(1)) {
        const recalled = await client.event('recalled', (payload) => payload.seq === seq);
        assert.deepEqual(recalled, { conversation, seq, id });
      }
    }
    for (const client of [alice, bob]) {
      const { messages } = await history(client, conversation, 2);
      assert.deepEqual(messages.map(({ seq, id, body }) => [seq, id, body]), [
        [1, sent[0].id, 'one'], [2, sent[1].id, null], [3, sent[2].id, null],
      ]);
      assert.ok(messages.slice(1).every(({ recalled_at, sent_at }) => recalled_at >= sent_at));
      assert.equal('recalled_at' in messages[0], false);
      const { last_message, last_seq } = await summary(client, conversation);
      assert.deepEqual([last_message.seq, last_message.body, last_seq], [3, null, 3]);
    }
    assert.equal((await summary(bob, conversation)).unread, 3, 'they count all the same');
    const again = await alice.sendTo(bob.user, 'three', { cid: 'three' });
    assert.deepEqual([again.id, again.seq, again.duplicate], [sent[2].id, 3, true]);
    assert.equal((await alice.sendTo(bob.user, 'four')).seq, 4);
    const page = await suite.cluster.stat('GET', `/v1/conversations/${encodeURIComponent(conversation)}/messages`);
    assert.deepEqual(page.body.messages.map(({ body }) => body), ['one', null, null, 'four']);
    // Once more does no harm.
    await alice.must('recall', { conversation, seq: 3 });
  });

  test('a group sees a message recalled as far as it was theirs', async () => {
    const [alice, bob] = await pair(suite);
    const [carol, dave] = await pair(suite);
    const name = await group(suite, alice, bob, carol);
    const conversation = `g:${name}`;
    await alice.sendToGroup(name, 'for three');
    await Promise.all([bob, carol].map((member) => member.receives(conversation, 1)));
    await suite.cluster.stat('PUT', `/v1/groups/${name}/members`, { users: [dave.user] });
    const { seq, id } = await alice.sendToGroup(name, 'for four');
    await dave.receives(conversation, 1);
    await alice.must('recall', { conversation, seq: 1 });
    await alice.must('recall', { conversation, seq });
    for (const member of [alice, bob, carol, dave]) {
      assert.deepEqual(await member.event('recalled', (payload) => payload.seq === seq), { conversation, seq, id });
    }
    for (const member of [alice, bob, carol]) assert.equal(payloads(member, 'recalled').length, 2, member.user);
    assert.deepEqual(payloads(dave, 'recalled').map((payload) => payload.seq), [seq], 'not what was sent before');
    assert.deepEqual((await history(dave, conversation)).messages.map(({ body }) => body), [null]);
  });

  test('what may not be recalled or read is refused with its code', async () => {
    const [alice, bob, conversation] = await pair(suite);
    const stranger = await Client.connect(suite.cluster, unique('u'));
    const name = await group(suite, alice, bob);
    await alice.sendTo(bob.user, 1);
    await alice.sendToGroup(name, 1);
    const code = async (client, event, payload) => (await client.ask(event, payload)).error?.code;
    assert.equal(await code(bob, 'recall', { conversation, seq: 1 }), 'forbidden');
    assert.equal(await code(stranger, 'recall', { conversation, seq: 1 }), 'forbidden');
    assert.equal(await code(stranger, 'recall', { conversation: `g:${name}`, seq: 1 }), 'not_member');
    for (const seq of [0, 2, Number.MAX_SAFE_INTEGER]) {
      assert.equal(await code(alice, 'recall', { conversation, seq }), 'not_found', `${seq}`);
      assert.equal(await code(alice, 'recall', { conversation: `g:${name}`, seq }), 'not_found', `${seq}`);
    }
    assert.equal(await code(stranger, 'read', { conversation, seq: 1 }), 'forbidden');
    assert.equal(await code(stranger, 'read', { conversation: `g:${name}`, seq: 1 }), 'not_member');
    assert.equal(await code(alice, 'read', { conversation: `g:${unique('none')}`, seq: 1 }), 'not_member');
    for (const event of ['read', 'recall']) {
      for (const payload of [undefined, {}, [conversation, 1], { conversation }, { conversation, seq: -1 },
        { conversation, seq: 1.5 }, { conversation, seq: '1' }, { conversation: 'r:room', seq: 1 },
        { conversation, seq: 1, more: true }]) {
        assert.equal(await code(alice, event, payload), 'bad_request', `${event} ${JSON.stringify(payload)}`);
      }
    }
    assert.deepEqual((await history(bob, conversation)).messages.map(({ body }) => body), [1]);
  });

  test('a device that was away learns it on another spear', async () => {
    const [alice, bob, conversation] = await pair(suite);
    const name = await group(suite, alice, bob);
    for (const body of [1, 2, 3]) await alice.sendTo(bob.user, body);
    await alice.sendToGroup(name, 'in the group');
    await bob.sendTo(alice.user, 'an answer');
    await bob.receives(conversation, 3);
    await bob.receives(`g:${name}`, 1);
    await bob.confirm(conversation, 4);
    await bob.confirm(`g:${name}`, 1);
    await bob.leave();
    const other = await Client.connect(suite.cluster, bob.user, { device: 'other' });
    await alice.must('recall', { conversation, seq: 2 });
    await alice.must('recall', { conversation: `g:${name}`, seq: 1 });
    await alice.must('read', { conversation, seq: 4 });
    const back = await Client.connect(suite.cluster, bob.user, { avoid: [bob.node] });
    assert.notEqual(back.node, bob.node);
    assert.equal((await back.event('recalled', (payload) => payload.conversation === conversation)).seq, 2);
    assert.equal((await back.event('recalled', (payload) => payload.conversation === `g:${name}`)).seq, 1);
    assert.deepEqual(await back.event('receipt'), { conversation, user: alice.user, read_seq: 4 });
    await settle(alice, back);
    const again = back.messages.filter((message) => message.conversation === conversation && message.seq <= 3);
    assert.deepEqual(again, [], 'what was confirmed does not come again');
    assert.equal((await other.event('recalled', (payload) => payload.conversation === conversation)).seq, 2);
  });

  test('what was recalled before it was received comes as a tombstone', async () => {
    const [alice, bob, conversation] = await pair(suite);
    bob.close();
    const secret = await alice.sendTo(bob.user, 'secret');
    await alice.sendTo(bob.user, 'public');
    await alice.must('recall', { conversation, seq: 1 });
    const back = await Client.connect(suite.cluster, bob.user);
    const [gone, left] = await back.receives(conversation, 2);
    assert.deepEqual([gone.seq, gone.id, gone.body], [1, secret.id, null]);
    assert.ok(gone.recalled_at >= gone.sent_at);
    assert.equal(left.body, 'public');
  });
});

describe('with a window that has passed', () => {
  const suite = withCluster({ env: { PHALANX__SPEAR__LIMITS__RECALL_WINDOW_MS: '1' } });

  test('a message cannot be recalled any more', async () => {
    const [alice, bob, conversation] = await pair(suite);
    await alice.sendTo(bob.user, 'for ever');
    // A round trip later more than the window has passed.
    await bob.receives(conversation, 1);
    await settle(bob, alice);
    const refused = await alice.ask('recall', { conversation, seq: 1 });
    assert.equal(refused.error?.code, 'forbidden');
    assert.equal((await history(bob, conversation)).messages[0].body, 'for ever');
  });
});

describe('with a relay that loses every hint', () => {
  const suite = withCluster({ env: { ...FREQUENT_SWEEPS, PHALANX__RELAY__FAULTS__DROP_EVERY: '1' } });

  test('what was recalled and read is told all the same', async () => {
    const [alice, bob, conversation] = await pair(suite);
    const name = await group(suite, alice, bob);
    const sent = await alice.sendTo(bob.user, 'secret');
    const inGroup = await alice.sendToGroup(name, 'secret');
    await bob.receives(conversation, 1, BUDGET_MS);
    await bob.receives(`g:${name}`, 1, BUDGET_MS);
    await alice.must('recall', { conversation, seq: 1 });
    await alice.must('recall', { conversation: `g:${name}`, seq: 1 });
    await bob.must('read', { conversation, seq: 1 });
    for (const [where, { id }] of [[conversation, sent], [`g:${name}`, inGroup]]) {
      const recalled = await bob.event('recalled', (payload) => payload.conversation === where, BUDGET_MS);
      assert.deepEqual(recalled, { conversation: where, seq: 1, id });
    }
    assert.equal((await alice.event('receipt', () => true, BUDGET_MS)).read_seq, 1);
  });

  test('in a conversation that the connection had no part in', async () => {
    const [alice, bob, conversation] = await pair(suite);
    await alice.sendTo(bob.user, 'secret');
    await bob.receives(conversation, 1, BUDGET_MS);
    await bob.confirm(conversation, 1);
    await bob.leave();
    // Everything is confirmed, so that nothing is read of it when the device comes back.
    const back = await Client.connect(suite.cluster, bob.user);
    await alice.must('recall', { conversation, seq: 1 });
    assert.equal((await back.event('recalled', () => true, BUDGET_MS)).seq, 1);
  });
});
