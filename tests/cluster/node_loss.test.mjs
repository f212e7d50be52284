// Given a cluster with a process for every node, when one of them is killed, then its work goes on elsewhere and nothing
// acknowledged is lost.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Client, directConversation, usersOnDifferentSpears } from '../support/client.mjs';
import { Ledger, assertInOrder } from '../support/ledger.mjs';
import { unique, withCluster } from '../support/suite.mjs';
import { Traffic } from '../support/traffic.mjs';
import { until } from '../support/wait.mjs';

// The profile's session time-out is 3 s: so long a dead node stays in the roster.
const SESSION_MS = 3_000;
const AVOIDING_MS = 3_000;

const suite = withCluster();

/** Two users on different spears, and their conversation. */
async function pair() {
  const users = Object.values(await usersOnDifferentSpears(suite.cluster, unique('u')));
  const [alice, bob] = await Promise.all(users.map((user) => Client.connect(suite.cluster, user)));
  return [alice, bob, directConversation(alice.user, bob.user)];
}

/** Connects, on whichever attempt it works. */
function reconnect(user, budgetMs, options = {}) {
  return until(
    () => Client.connect(suite.cluster, user, options).catch(() => undefined),
    budgetMs,
    `${user} is connected again`,
  );
}

test('a killed spear: its users go elsewhere at once where they avoid it, and get what they missed', async () => {
  const [alice, bob, conversation] = await pair();
  for (const body of [1, 2, 3]) await alice.sendTo(bob.user, body);
  await bob.receives(conversation, 3);
  await bob.confirm(conversation, 1);

  await suite.cluster.killNode(bob.node);
  await bob.ended();
  await alice.sendTo(bob.user, 4);
  const began = Date.now();
  const back = await reconnect(bob.user, AVOIDING_MS, { avoid: [bob.node] });
  assert.notEqual(back.node, bob.node);
  await back.receives(conversation, 4);
  assert.ok(Date.now() - began < AVOIDING_MS, `caught up after ${Date.now() - began} ms`);
  await alice.sendTo(bob.user, 5);
  // The cursor of the last second may be lost with the spear.
  await until(() => back.in(conversation).at(-1).body === 5, 10_000, 'live messages come');
  assertInOrder(back);
  assert.deepEqual(back.in(conversation).map((message) => message.body).slice(-4), [2, 3, 4, 5]);
  await suite.cluster.launchNode(bob.node);
});

test('a killed spear: once its session has ended, tickets lead elsewhere by themselves', async () => {
  const [alice, bob, conversation] = await pair();
  await suite.cluster.killNode(bob.node);
  await alice.sendTo(bob.user, 'while nobody listens');
  const back = await reconnect(bob.user, 2 * SESSION_MS + 5_000);
  assert.notEqual(back.node, bob.node);
  await back.receives(conversation, 1);
  await suite.cluster.launchNode(bob.node);
  await until(
    async () => (await Client.connect(suite.cluster, bob.user)).node === bob.node,
    10_000,
    'the spear is given its users again',
  );
});

test('the active idgen killed: sending goes on, and ids keep increasing', async () => {
  const [alice, bob, conversation] = await pair();
  const ledger = new Ledger();
  const traffic = new Traffic(alice, { user: bob.user }, ledger);
  for (let round = 0; round < 2; round += 1) {
    const active = await until(
      async () => {
        for (const id of ['idgen-1', 'idgen-2']) {
          const { conditions } = await suite.cluster.readiness(id);
          if (conditions.some((condition) => condition.detail.startsWith('active'))) return id;
        }
        return undefined;
      },
      15_000,
      'an idgen is active',
    );
    await traffic.more(100);
    await suite.cluster.killNode(active);
    await traffic.more(100, 30_000);
    await suite.cluster.launchNode(active);
  }
  await traffic.stop();
  const stored = await ledger.check(alice, conversation);
  await bob.receives(conversation, stored.length);
  const ids = stored.map((message) => BigInt(message.id));
  assert.ok(ids.every((id, index) => index === 0 || id > ids[index - 1]), 'ids increase with seq');
});

for (const [id, other] of [['stat-1', 'stat-2'], ['stat-2', 'stat-1']]) {
  test(`${id} killed: messages flow, and the other one answers`, async () => {
    const [alice, bob, conversation] = await pair();
    await suite.cluster.killNode(id);
    await alice.sendTo(bob.user, 'hello');
    await bob.receives(conversation, 1);
    const { url } = suite.cluster.nodes.get(other);
    const state = async () => {
      const { body } = await suite.cluster.stat('GET', '/v1/cluster', undefined, url);
      return body.nodes.find((node) => node.id === id)?.state;
    };
    await until(async () => (await state()) !== 'up', 15_000, `${other} knows that ${id} is gone`);
    await suite.cluster.launchNode(id);
    await until(async () => (await state()) === 'up', 15_000, `${other} sees ${id} again`);
  });
}

for (const [id, other] of [['ticket-1', 'ticket-2'], ['ticket-2', 'ticket-1']]) {
  test(`${id} killed: connections stay, and the other one gives the same answers`, async () => {
    const [alice, bob, conversation] = await pair();
    await suite.cluster.killNode(id);
    const ticketUrl = suite.cluster.nodes.get(other).url;
    const elsewhere = { ticketUrl, token: (user, more) => suite.cluster.token(user, more) };
    const tablet = await Client.connect(elsewhere, bob.user, { device: 'tablet' });
    assert.equal(tablet.node, bob.node, 'the same snapshot gives the same answer');
    await alice.sendTo(bob.user, 'hello');
    await Promise.all([bob, tablet].map((client) => client.receives(conversation, 1)));
    assert.equal(alice.disconnected, undefined);
    await suite.cluster.launchNode(id);
  });
}

test('minions-ui killed: nobody notices, and it comes back', async () => {
  const [alice, bob, conversation] = await pair();
  await suite.cluster.killNode('minions-ui-1');
  await alice.sendTo(bob.user, 'hello');
  await bob.receives(conversation, 1);
  await suite.cluster.launchNode('minions-ui-1');
  const page = await fetch(suite.cluster.url(40000));
  assert.equal(page.status, 200);
});

test('every process killed at once: what was acknowledged is there again', async () => {
  const [alice, bob, conversation] = await pair();
  const ledger = new Ledger();
  const traffic = new Traffic(alice, { user: bob.user }, ledger);
  await traffic.more(200);
  await suite.cluster.kill9();
  await traffic.stop();
  await suite.cluster.launch();
  const [reader, listener] = await Promise.all(
    [alice, bob].map((client) => reconnect(client.user, 20_000, { device: client === bob ? 'default' : 'reader' })),
  );
  const stored = await ledger.check(reader, conversation);
  await listener.receives(conversation, stored.length);
});
