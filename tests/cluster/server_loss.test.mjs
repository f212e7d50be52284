// Given a cluster under load, when ZooKeeper or Redis goes away and comes back, then connections stay and nothing acknowledged
// is lost.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { Client, directConversation, usersOnDifferentSpears } from '../support/client.mjs';
import { Ledger, assertInOrder } from '../support/ledger.mjs';
import { unique, withCluster } from '../support/suite.mjs';
import { Traffic } from '../support/traffic.mjs';
import { until } from '../support/wait.mjs';

const OUTAGE_MS = 30_000;

const suite = withCluster();

/** Pairs of users on different spears who write to one another all the while. */
async function conversations(count) {
  const found = [];
  for (let pair = 0; pair < count; pair += 1) {
    const users = Object.values(await usersOnDifferentSpears(suite.cluster, unique('u')));
    const [alice, bob] = await Promise.all(users.map((user) => Client.connect(suite.cluster, user)));
    const ledger = new Ledger();
    found.push({
      ledger,
      clients: [alice, bob],
      conversation: directConversation(alice.user, bob.user),
      traffic: [new Traffic(alice, { user: bob.user }, ledger), new Traffic(bob, { user: alice.user }, ledger)],
    });
  }
  return found;
}

/** Everybody is still on the same connection, and has everything, in order. */
async function settle(pairs) {
  await Promise.all(pairs.flatMap(({ traffic }) => traffic.map((writer) => writer.stop())));
  for (const { clients, conversation, ledger } of pairs) {
    const stored = await ledger.check(clients[0], conversation);
    for (const client of clients) {
      assert.equal(client.disconnected, undefined, `${client.user} is still connected`);
      const others = stored.filter((message) => message.from !== client.user).length;
      await until(
        () => client.in(conversation).filter((message) => message.from !== client.user).length >= others,
        20_000,
        `${client.user} has everything of ${conversation}`,
      );
      assertInOrder(client);
    }
  }
}

const all = (pairs, act) => Promise.all(pairs.flatMap(({ traffic }) => traffic.map(act)));

test('ZooKeeper away for 30 s: no connection drops, messages flow', { timeout: 180_000 }, async () => {
  const { cluster } = suite;
  const pairs = await conversations(3);
  await all(pairs, (writer) => writer.more(20));
  await cluster.servers.zookeeper.kill9();
  const back = Date.now() + OUTAGE_MS;
  await until(
    async () => {
      const { conditions } = await cluster.readiness('ticket-1');
      return conditions.some((condition) => /out of reach since/.test(condition.detail));
    },
    10_000,
    'readiness says that the roster is out of reach',
  );
  // To the end of the outage, not only at its beginning: sessions expire on the way.
  while (Date.now() < back) {
    await all(pairs, (writer) => writer.more(5, 15_000));
    await pause(200);
  }
  const late = await Client.connect(cluster, unique('late'));
  late.close();
  await cluster.servers.zookeeper.launch();
  await cluster.ready();
  await all(pairs, (writer) => writer.more(20));
  await until(
    async () => {
      const { body } = await cluster.stat('GET', '/v1/cluster');
      return body.nodes.filter((node) => node.state === 'up').length === cluster.nodes.size;
    },
    20_000,
    'every node is registered again',
  );
  await settle(pairs);
});

test('Redis killed and started again: connections stay, sends are refused meanwhile', { timeout: 120_000 }, async () => {
  const { cluster } = suite;
  const pairs = await conversations(3);
  await all(pairs, (writer) => writer.more(20));
  await cluster.servers.redis.kill9();
  await all(pairs, (writer) => writer.refused('unavailable'));
  await cluster.servers.redis.launch();
  await all(pairs, (writer) => writer.more(20, 30_000));
  await cluster.ready();
  await settle(pairs);
});

test('Redis frozen for a while: the same', { timeout: 120_000 }, async () => {
  const { cluster } = suite;
  const pairs = await conversations(2);
  await all(pairs, (writer) => writer.more(20));
  cluster.servers.redis.freeze();
  await all(pairs, (writer) => writer.refused('unavailable'));
  cluster.servers.redis.thaw();
  await all(pairs, (writer) => writer.more(20, 30_000));
  await settle(pairs);
});
