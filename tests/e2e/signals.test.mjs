// Signals: to who is here now, and never again.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Client, usersOnDifferentSpears } from '../support/client.mjs';
import { unique, withCluster } from '../support/suite.mjs';
import { until } from '../support/wait.mjs';

const suite = withCluster();

async function crowd(perSpear = 1) {
  const clients = [];
  for (let round = 0; round < perSpear; round += 1) {
    const users = Object.values(await usersOnDifferentSpears(suite.cluster, unique('u')));
    clients.push(...(await Promise.all(users.map((user) => Client.connect(suite.cluster, user)))));
  }
  return clients;
}

async function group(...members) {
  const name = unique('g');
  await suite.cluster.stat('PUT', `/v1/groups/${name}`, { open: false, name: 'a test' });
  await change('PUT', name, ...members);
  return name;
}

async function change(method, name, ...members) {
  const users = members.map((member) => member.user);
  const { status } = await suite.cluster.stat(method, `/v1/groups/${name}/members`, { users });
  assert.equal(status, 200);
}

const signals = (client) => client.events.filter(({ name }) => name === 'signal').map(({ payload }) => payload);

/** Best effort: sent until one has arrived at each of these. */
async function signalUntil(sender, to, receivers) {
  const mark = unique('mark');
  const has = (client) => signals(client).some(({ body }) => body === mark);
  await until(
    async () => {
      await sender.must('signal', { to, type: 'mark', body: mark });
      return receivers.every(has);
    },
    10_000,
    `a signal of ${sender.user} reaches ${receivers.map(({ user }) => user)}`,
  );
}

test('a signal reaches every device of a user, and nobody else', async () => {
  const [alice, bob] = await crowd();
  const [bobsTablet, alicesTablet] = await Promise.all([
    Client.connect(suite.cluster, bob.user, { device: 'tablet' }),
    Client.connect(suite.cluster, alice.user, { device: 'tablet' }),
  ]);
  const answer = await alice.ask('signal', { to: { user: bob.user }, type: 'typing', body: { until_ms: 3000 } });
  assert.deepEqual(answer, { ok: true });
  const expected = { from: alice.user, to: { user: bob.user }, type: 'typing', body: { until_ms: 3000 } };
  for (const device of [bob, bobsTablet]) assert.deepEqual(await device.event('signal'), expected);
  // To oneself: the other devices.
  await alice.must('signal', { to: { user: alice.user }, type: 'draft', body: null });
  assert.equal((await alicesTablet.event('signal')).type, 'draft');
  assert.deepEqual([signals(alice), signals(alicesTablet).length, signals(bob).length], [[], 1, 1]);
});

test("a sender's signals come in the order in which they were sent", async () => {
  const [alice, bob] = await crowd();
  const numbers = Array.from({ length: 200 }, (_, number) => number);
  await Promise.all(numbers.map((body) => alice.must('signal', { to: { user: bob.user }, type: 'n', body })));
  await until(() => signals(bob).length >= 200, 10_000, 'all have come');
  assert.deepEqual(signals(bob).map(({ body }) => body), numbers);
});

test('a signal is stored nowhere', async () => {
  const [alice, bob] = await crowd();
  const away = unique('away');
  await alice.must('signal', { to: { user: away }, type: 'typing', body: 1 });
  await alice.must('signal', { to: { user: bob.user }, type: 'typing', body: 1 });
  await bob.event('signal');
  assert.deepEqual((await bob.must('conversations', {})).conversations, []);
  const back = await Client.connect(suite.cluster, away);
  await bob.sendTo(away, 'marker');
  await back.event('message');
  assert.deepEqual(signals(back), []);
});

test('members of a group who are here get it, those who are not members do not', async () => {
  const [alice, bob, carol, stranger] = await crowd(2);
  const name = await group(alice, bob, carol);
  await signalUntil(alice, { group: name }, [bob, carol]);
  assert.deepEqual([signals(alice), signals(stranger)], [[], []]);
  const refused = await stranger.ask('signal', { to: { group: name }, type: 'typing', body: 1 });
  assert.equal(refused.error.code, 'not_member');
  await change('DELETE', name, carol);
  await until(
    async () => (await carol.ask('signal', { to: { group: name }, type: 'late', body: 1 })).error?.code === 'not_member',
    10_000,
    'who was removed signals no more',
  );
  const before = signals(carol).length;
  await signalUntil(alice, { group: name }, [bob]);
  await alice.sendTo(carol.user, 'marker');
  await carol.event('message', (message) => message.body === 'marker');
  assert.equal(signals(carol).length, before);
});

test('a member who has just connected may signal at once', async () => {
  const [alice, bob] = await crowd();
  const name = await group(alice, bob);
  const tablet = await Client.connect(suite.cluster, bob.user, { device: 'tablet' });
  await tablet.must('signal', { to: { group: name }, type: 'typing', body: 1 });
});

test('who is in a room gets its signals', async () => {
  const [alice, bob, stranger] = await crowd(2);
  const room = unique('r');
  await alice.must('join', { room });
  await bob.must('join', { room });
  await signalUntil(alice, { room }, [bob]);
  await signalUntil(bob, { room }, [alice]);
  assert.deepEqual(signals(stranger), []);
  const refused = await stranger.ask('signal', { to: { room }, type: 'typing', body: 1 });
  assert.equal(refused.error.code, 'not_member');
});

test('what is not a signal is refused', async () => {
  const [alice] = await crowd();
  const to = { user: alice.user };
  const bad = [
    {},
    { to, type: 'typing' },
    { to, body: 1 },
    { to: {}, type: 'typing', body: 1 },
    { to: { all: true }, type: 'typing', body: 1 },
    { to, type: '', body: 1 },
    { to, type: 'x'.repeat(65), body: 1 },
    { to, type: 'typing', body: 1, cid: 'c' },
  ];
  for (const payload of bad) {
    assert.equal((await alice.ask('signal', payload)).error.code, 'bad_request', JSON.stringify(payload));
  }
  assert.equal((await alice.ask('signal', { to, type: 't', body: 'x'.repeat(4096) })).error.code, 'too_large');
  await alice.must('signal', { to, type: 't', body: 'x'.repeat(4094) });
});
