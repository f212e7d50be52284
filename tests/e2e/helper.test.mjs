// The client helper of examples/client on a real cluster: what an application is promised while spears die, leave and come back.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Client, directConversation, usersOnDifferentSpears } from '../support/client.mjs';
import { PhalanxClient, socketIo } from '../support/helper.mjs';
import { decode, inSeconds, sign } from '../support/jwt.mjs';
import { EMBEDDED } from '../support/profile.mjs';
import { unique, withCluster } from '../support/suite.mjs';
import { until } from '../support/wait.mjs';

const suite = withCluster();
const BUDGET_MS = 60_000;

/** A user's application: remembers each message that it was given, in order, and each step of its connection. */
async function connect(t, user, options = {}) {
  const client = new PhalanxClient({
    ticketUrl: suite.cluster.ticketUrl,
    token: () => suite.cluster.token(user),
    dial: socketIo({ transports: ['websocket'] }),
    ...options,
  });
  client.user = user;
  client.messages = [];
  client.states = [];
  client.readies = [];
  client.on('message', async (message) => void client.messages.push(message));
  client.on('state', ({ state }) => client.states.push(state));
  client.on('ready', (ready) => client.readies.push(ready));
  t.after(() => client.disconnect());
  await client.connect();
  return client;
}

/** Two users on different spears. */
async function pair(t, options) {
  const users = Object.values(await usersOnDifferentSpears(suite.cluster, unique('u')));
  const [alice, bob] = await Promise.all(users.map((user) => connect(t, user, options)));
  assert.notEqual(alice.node, bob.node);
  return [alice, bob, directConversation(alice.user, bob.user)];
}

/** Goes on writing until it is told to stop; then every send has been answered. */
function writing(from, to) {
  const answers = [];
  let stopped = false;
  const done = (async () => {
    while (!stopped) answers.push(await from.send({ user: to.user }, answers.length));
  })();
  return {
    more: (count) => {
      const wanted = answers.length + count;
      return until(() => answers.length >= wanted, BUDGET_MS, () => `${wanted} sends are answered, got ${answers.length}`);
    },
    stop: async () => {
      stopped = true;
      await done;
      return answers;
    },
  };
}

/** Each send was stored once, and came once, in order. */
async function assertAllOnce(client, answers) {
  assert.deepEqual(answers.map((answer) => answer.seq), answers.map((_, index) => index + 1));
  await until(() => client.messages.length >= answers.length, BUDGET_MS, () => `${client.messages.length} of ${answers.length} have come`);
  assert.deepEqual(client.messages.map(({ seq, body }) => [seq, body]), answers.map(({ seq }, index) => [seq, index]));
}

/** The spear dies without a word. */
async function kill(node) {
  if (EMBEDDED) return suite.cluster.crash();
  await suite.cluster.killNode(node);
}

test('a kill of either spear loses nothing, repeats nothing, and keeps the order', async (t) => {
  const [alice, bob] = await pair(t);
  const nodes = [alice.node, bob.node];
  const traffic = writing(alice, bob);
  for (const node of nodes) {
    await traffic.more(50);
    await kill(node);
    await traffic.more(50);
    if (!EMBEDDED) await suite.cluster.launchNode(node);
  }
  await assertAllOnce(bob, await traffic.stop());
  assert.deepEqual(alice.messages, [], 'own sends are answers, not messages');
  assert.ok(alice.readies.length > 1 && bob.readies.length > 1, 'both had to come back');
});

test('a spear that leaves is left before it goes', async (t) => {
  const [alice, bob] = await pair(t);
  const leaving = bob.node;
  const [{ session }] = bob.readies;
  const traffic = writing(alice, bob);
  await traffic.more(20);
  if (EMBEDDED) {
    suite.cluster.signal('SIGTERM');
    await suite.cluster.exited();
    await suite.cluster.launch();
  } else {
    const { process } = suite.cluster.nodes.get(leaving);
    process.signal('SIGTERM');
    assert.deepEqual(await process.ended(), { code: 0, signal: null });
    assert.notEqual(bob.node, leaving);
    const since = bob.states.slice(bob.states.indexOf('connected') + 1);
    assert.ok(since.every((state) => ['connecting', 'connected'].includes(state)), `the ticket was there before: ${since}`);
    await suite.cluster.launchNode(leaving);
  }
  await traffic.more(20);
  await assertAllOnce(bob, await traffic.stop());
  assert.notEqual(bob.readies.at(-1).session, session);
});

test('what was taken is confirmed: a next program of the same device is not given it again', async (t) => {
  const [alice, bob, conversation] = await pair(t);
  for (const body of [1, 2, 3]) await alice.send({ user: bob.user }, body);
  await until(() => bob.messages.length === 3, BUDGET_MS, 'three messages come');
  await bob.send({ user: alice.user }, 'and one back');
  await bob.disconnect();
  await alice.send({ user: bob.user }, 5);
  const next = await connect(t, bob.user);
  await until(() => next.messages.length === 1, BUDGET_MS, 'the rest comes');
  assert.deepEqual([next.readies[0].resumed, next.messages[0].seq], [true, 5]);
  const { messages } = await next.request('sync', { conversation, after: 0 });
  assert.equal(messages.length, 5);
});

test('a connection outlives its token', async (t) => {
  const user = unique('u');
  const { claims } = decode(await suite.cluster.token(user));
  const key = suite.cluster.key('token');
  const token = () => sign({ ...claims, exp: inSeconds(9) }, key);
  const client = await connect(t, user, { token });
  let refreshed = 0;
  client.on('trace', ({ event, payload }) => (refreshed += event === 'refresh · answer' && payload.ok ? 1 : 0));
  await until(() => refreshed === 3, BUDGET_MS, 'three newer tokens are taken');
  assert.deepEqual([client.readies.length, client.state], [1, 'connected']);
});

test('who is watched is watched again by whoever comes back', async (t) => {
  const [alice, bob] = await pair(t);
  const told = [];
  alice.on('presence', ({ user, online }) => told.push(`${user} ${online}`));
  await alice.watch({ users: [bob.user, unique('nobody')] });
  await until(() => told.length === 2, BUDGET_MS, 'alice is told how it stands');
  await alice.disconnect();
  await alice.connect();
  await until(() => told.length === 4, BUDGET_MS, 'and again');
  assert.deepEqual(told.filter((text) => text === `${bob.user} true`).length, 2);
  await alice.unwatch({ users: [bob.user] });
  await alice.disconnect();
  await alice.connect();
  await until(() => told.length === 5, BUDGET_MS, 'only of the other one');
  assert.ok(told.at(-1).endsWith('false'));
});

test('what is watched of others is watched again, and neither confirmed nor counted', async (t) => {
  const [alice, bob] = await pair(t);
  const name = unique('eve');
  const eve = await connect(t, name, { token: () => suite.cluster.token(name, { scope: ['monitor'] }) });
  const shown = [];
  eve.on('watched', ({ body }) => shown.push(body));
  await eve.watch({ users: [bob.user], messages: true });
  await alice.send({ user: bob.user }, 'one');
  await until(() => shown.length === 1, BUDGET_MS, 'eve is shown it');
  await eve.disconnect();
  await eve.connect();
  await until(
    async () => {
      await alice.send({ user: bob.user }, 'two');
      return shown.includes('two');
    },
    BUDGET_MS,
    'and again',
  );
  assert.deepEqual(eve.messages, []);
});

test('rooms are entered again by whoever comes back', async (t) => {
  const [alice, bob] = await pair(t);
  const room = unique('r');
  assert.deepEqual([await alice.join({ room }), await bob.join({ room }) >= 1], [1, true]);
  const { node } = bob;
  await kill(node);
  if (!EMBEDDED) await suite.cluster.launchNode(node);
  await until(() => bob.readies.length === 2 && alice.state === 'connected', BUDGET_MS, 'both are back');
  const said = () => alice.send({ room }, 'anybody here?').catch(() => undefined);
  await until(async () => (await said()) && bob.messages.length > 0, BUDGET_MS, 'bob hears alice');
  assert.deepEqual([bob.messages[0].conversation, bob.messages[0].body], [`r:${room}`, 'anybody here?']);
});

test('one who is replaced by another program of the same device stops', async (t) => {
  const [alice, bob] = await pair(t);
  const other = await Client.connect(suite.cluster, bob.user);
  await until(() => bob.state === 'stopped', BUDGET_MS, 'the older one stops');
  assert.equal(bob.reason, 'kicked: replaced');
  await assert.rejects(bob.send({ user: alice.user }, 'hello'), { code: 'stopped' });
  assert.equal(other.disconnected, undefined);
});

test('refusals have the codes of the protocol', async (t) => {
  const [alice] = await pair(t);
  await assert.rejects(alice.send({ group: unique('nothing') }, 1), { code: 'not_found' });
  await assert.rejects(alice.send({ user: 'bob' }, 'x'.repeat(100_000)), { code: 'too_large' });
  await assert.rejects(alice.request('sync', { conversation: 'u:x:y' }), { code: 'forbidden' });
});

test('over long-polling it is the same', async (t) => {
  const [alice, bob] = await pair(t, { dial: socketIo({ transports: ['polling'] }) });
  const traffic = writing(alice, bob);
  await traffic.more(5);
  await assertAllOnce(bob, await traffic.stop());
});
