// A user's devices: each has its own place, one connection, and there is a limit to how many are remembered.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { Client, directConversation, history, ticketFor, usersOnDifferentSpears } from '../support/client.mjs';
import { unique, withCluster } from '../support/suite.mjs';
import { until } from '../support/wait.mjs';

const MOST = 4;
const COMPARED_MS = 20_000;
const suite = withCluster({
  env: {
    PHALANX__SPEAR__DEVICES__MOST: String(MOST),
    // A connection that is replaced has the time to write that a busy machine needs.
    PHALANX__SPEAR__DELIVERY__TAKEOVER_TIMEOUT_MS: '8000',
  },
});

const on = (user, device, more = {}) => Client.connect(suite.cluster, user, { device, ...more });
const seqs = (client, conversation) => client.in(conversation).map((message) => message.seq);

async function pair() {
  const [alice, bob] = Object.values(await usersOnDifferentSpears(suite.cluster, unique('u')));
  return [await Client.connect(suite.cluster, alice), bob, directConversation(alice, bob)];
}

test('two devices of a user have places of their own', async () => {
  const [alice, bob, conversation] = await pair();
  const phone = await on(bob, 'phone');
  const pad = await on(bob, 'pad');
  for (const body of [1, 2, 3, 4]) await alice.sendTo(bob, body);
  await Promise.all([phone, pad].map((device) => device.receives(conversation, 4)));
  await phone.confirm(conversation, 3);
  await pad.confirm(conversation, 1);
  await Promise.all([phone.leave(), pad.leave()]);
  const [phoneAgain, padAgain] = [await on(bob, 'phone'), await on(bob, 'pad')];
  await phoneAgain.receives(conversation, 1);
  await padAgain.receives(conversation, 3);
  assert.deepEqual(seqs(phoneAgain, conversation), [4]);
  assert.deepEqual(seqs(padAgain, conversation), [2, 3, 4]);
});

test('a further device starts at the present, and pages back to the beginning', async () => {
  const [alice, bob, conversation] = await pair();
  const phone = await on(bob, 'phone');
  for (const body of [1, 2, 3]) await alice.sendTo(bob, body);
  await phone.receives(conversation, 3);
  const pad = await on(bob, 'pad');
  assert.equal(pad.ready.resumed, false);
  await alice.sendTo(bob, 4);
  await pad.receives(conversation, 1);
  assert.deepEqual(seqs(pad, conversation), [4]);
  const { messages } = await history(pad, conversation);
  assert.deepEqual(messages.map((message) => message.body), [1, 2, 3, 4]);
  const back = await pad.must('sync', { conversation, before: 4, limit: 2 });
  assert.deepEqual([back.messages.map((message) => message.seq), back.more], [[2, 3], true]);
});

test('a device that moves to the other spear is ready when the older connection has ended', async () => {
  const [alice, bob, conversation] = await pair();
  const older = await on(bob, 'phone');
  for (const body of [1, 2, 3]) await alice.sendTo(bob, body);
  await older.receives(conversation, 3);
  for (let round = 0, from = older; round < 4; round += 1) {
    const newer = await on(bob, 'phone', { avoid: [from.node] });
    assert.notEqual(newer.node, from.node);
    assert.deepEqual((await from.event('kicked')).reason, 'replaced');
    await from.ended();
    assert.equal(newer.disconnected, undefined);
    from = newer;
  }
});

test('what the older connection had confirmed is not given again, however fast the device moves', async () => {
  const [alice, bob, conversation] = await pair();
  let from = await on(bob, 'phone');
  for (let seq = 1; seq <= 6; seq += 1) {
    await alice.sendTo(bob, seq);
    await from.receives(conversation, 1);
    assert.deepEqual(seqs(from, conversation), [seq]);
    // Not written yet: confirmations are gathered for a second.
    await from.confirm(conversation, seq);
    from = await on(bob, 'phone', { avoid: seq % 2 ? [from.node] : [] });
  }
});

test('of two that connect at the same instant on two spears one stays', async () => {
  const [alice, bob, conversation] = await pair();
  const first = await ticketFor(suite.cluster, bob, { device: 'phone' });
  const other = await ticketFor(suite.cluster, bob, { device: 'phone', avoid: [first.spear.id] });
  for (let round = 0; round < 10; round += 1) {
    const tickets = await Promise.all([
      ticketFor(suite.cluster, bob, { device: 'phone' }),
      ticketFor(suite.cluster, bob, { device: 'phone', avoid: [first.spear.id] }),
    ]);
    assert.deepEqual(tickets.map((ticket) => ticket.spear.id), [first.spear.id, other.spear.id]);
    // One of them may be replaced before it is ready.
    const settled = await Promise.allSettled(
      tickets.map((ticket) => Client.withTicket(ticket, bob)),
    );
    const clients = settled.filter((each) => each.status === 'fulfilled').map((each) => each.value);
    const standing = () => clients.filter((client) => client.disconnected === undefined);
    assert.ok(clients.length > 0, 'one is ready');
    await until(() => standing().length <= 1, 5_000, 'one of them goes');
    const { body } = await suite.cluster.stat('GET', `/v1/users/${bob}/presence`);
    assert.deepEqual(body.devices.map((device) => [device.device, device.node]), [['phone', standing()[0].node]]);
    const { seq } = await alice.sendTo(bob, round);
    await until(() => seqs(standing()[0], conversation).includes(seq), 5_000, 'it gets what is sent');
    await standing()[0].confirm(conversation, seq);
  }
});

test('at the limit the device that was away longest is forgotten, and begins at the present when it is back', async () => {
  const [alice, bob, conversation] = await pair();
  const presence = async () => (await suite.cluster.stat('GET', `/v1/users/${bob}/presence`)).body.devices.length;
  for (const device of ['old', 'd2', 'd3', 'd4']) {
    const client = await on(bob, device);
    client.close();
    await until(async () => (await presence()) === 0, 5_000, 'it has gone');
  }
  for (const body of [1, 2]) await alice.sendTo(bob, body);
  const fifth = await on(bob, 'd5');
  assert.equal(fifth.ready.resumed, false);
  const second = await on(bob, 'd2');
  assert.equal(second.ready.resumed, true);
  await second.receives(conversation, 2);
  const old = await on(bob, 'old');
  assert.equal(old.ready.resumed, false, 'it was forgotten');
  await alice.sendTo(bob, 3);
  await old.receives(conversation, 1);
  assert.deepEqual(seqs(old, conversation), [3]);
});

test('where all devices are connected, the one that has been longest goes', async () => {
  const [, bob] = await pair();
  const clients = [];
  for (let number = 0; number < MOST; number += 1) clients.push(await on(bob, `d${number}`));
  const further = await on(bob, 'further');
  assert.equal((await clients[0].event('kicked')).reason, 'replaced');
  await clients[0].ended();
  assert.deepEqual(clients.slice(1).map((client) => client.disconnected), [undefined, undefined, undefined]);
  assert.equal(further.disconnected, undefined);
});

test('a device that was away for weeks goes on where it was', async () => {
  const [alice, bob, conversation] = await pair();
  const phone = await on(bob, 'phone');
  await alice.sendTo(bob, 0);
  await phone.receives(conversation, 1);
  await phone.confirm(conversation, 1);
  await phone.leave();
  // Others come and go meanwhile, and much is written.
  const pad = await on(bob, 'pad');
  for (let body = 1; body <= 500; body += 1) await alice.sendTo(bob, body);
  await pad.receives(conversation, 500);
  await pad.confirm(conversation, 501);
  const back = await on(bob, 'phone');
  await back.receives(conversation, 500);
  assert.deepEqual(seqs(back, conversation), Array.from({ length: 500 }, (_, index) => index + 2));
  assert.deepEqual(back.events.filter((event) => event.name === 'gap'), []);
});

describe('a device that closes and comes back at once', () => {
  // As long as a busy machine may need.
  const patient = withCluster({ env: { PHALANX__SPEAR__DELIVERY__TAKEOVER_TIMEOUT_MS: '20000' } });

  test('is not given again what it has confirmed', async () => {
    const [alice, bob] = Object.values(await usersOnDifferentSpears(patient.cluster, unique('u')));
    const conversation = directConversation(alice, bob);
    const sender = await Client.connect(patient.cluster, alice);
    let phone = await Client.connect(patient.cluster, bob);
    for (let body = 1; body <= 20; body += 1) {
      await sender.sendTo(bob, body);
      await phone.receives(conversation, 1);
      assert.deepEqual(seqs(phone, conversation), [body], `after ${body - 1} moves`);
      await phone.confirm(conversation, body);
      phone.close();
      phone = await Client.connect(patient.cluster, bob, { avoid: [phone.node] });
    }
  });
});

describe('where no hint arrives', () => {
  const deaf = withCluster({ env: { PHALANX__RELAY__FAULTS__DROP_EVERY: '1' } });

  test('the older connection can neither send nor confirm, and the newer one is ready all the same', async () => {
    // Soon after its start a node compares all that it holds with the store, and finds out who was replaced.
    const spears = [...deaf.cluster.nodes.values()].filter(({ role }) => role === 'spear').length;
    const compared = () => deaf.cluster.logged().join().split('the store is told what this node holds').length > spears;
    await until(compared, COMPARED_MS, 'each spear has compared what it holds');
    const [alice, bob] = Object.values(await usersOnDifferentSpears(deaf.cluster, unique('u')));
    const conversation = directConversation(alice, bob);
    const sender = await Client.connect(deaf.cluster, alice);
    const older = await Client.connect(deaf.cluster, bob);
    for (const body of [1, 2, 3]) await sender.sendTo(bob, body);
    await older.receives(conversation, 3);
    const newer = await Client.connect(deaf.cluster, bob, { avoid: [older.node] });
    await newer.receives(conversation, 3);
    assert.equal(older.disconnected, undefined, 'nobody could tell it');
    const refused = await older.ask('send', { to: { user: alice }, body: 'too late' });
    assert.deepEqual([refused.ok, refused.error.code], [false, 'forbidden']);
    await older.confirm(conversation, 3);
    older.close();
    // Closing writes what it had confirmed, or would.
    await newer.confirm(conversation, 1);
    await newer.leave();
    const back = await Client.connect(deaf.cluster, bob, { avoid: [older.node] });
    await back.receives(conversation, 2);
    assert.deepEqual(back.messages.map((message) => message.body), [2, 3]);
  });
});
