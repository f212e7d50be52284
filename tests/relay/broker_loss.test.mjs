// Given a cluster under load whose relay has a broker of its own, when that broker is killed or frozen, and comes back, then every send
// is acknowledged as before, nothing is lost or out of order, and /readyz says what is missing.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { Client, directConversation, usersOnDifferentSpears } from '../support/client.mjs';
import { Ledger, assertInOrder } from '../support/ledger.mjs';
import { PROFILE } from '../support/profile.mjs';
import { unique, withCluster } from '../support/suite.mjs';
import { Traffic } from '../support/traffic.mjs';
import { until } from '../support/wait.mjs';

const suite = withCluster();

/** Pairs of users on different spears who write to one another all the while. */
async function conversations(count) {
  const found = [];
  for (let pair = 0; pair < count; pair += 1) {
    const users = Object.values(await usersOnDifferentSpears(suite.cluster, unique('u')));
    const [alice, bob] = await Promise.all(users.map((user) => Client.connect(suite.cluster, user)));
    const ledger = new Ledger();
    const traffic = [new Traffic(alice, { user: bob.user }, ledger), new Traffic(bob, { user: alice.user }, ledger)];
    found.push({ ledger, clients: [alice, bob], conversation: directConversation(alice.user, bob.user), traffic });
  }
  return found;
}

const all = (pairs, act) => Promise.all(pairs.flatMap(({ traffic }) => traffic.map(act)));

/** Everybody is on the same connection, no send was refused, and everybody has everything in order. */
async function settle(pairs) {
  await all(pairs, (writer) => writer.stop());
  for (const { clients, conversation, ledger, traffic } of pairs) {
    assert.deepEqual(traffic.flatMap(({ refusals }) => refusals), [], 'no send is refused');
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

async function notReady(id) {
  const { conditions } = await suite.cluster.readiness(id);
  return conditions.some(({ name, ok }) => name === 'relay' && !ok);
}

for (const [what, lose, bringBack] of [
  ['killed and started again', (broker) => broker.kill9(), (broker) => broker.launch()],
  ['frozen for a while', (broker) => broker.freeze(), (broker) => broker.thaw()],
]) {
  test(`the broker ${what}: no send is refused, nothing is lost`, { timeout: 300_000 }, async () => {
    const { cluster } = suite;
    const broker = cluster.servers[PROFILE];
    const pairs = await conversations(3);
    await all(pairs, (writer) => writer.more(20));
    await lose(broker);
    await until(() => notReady('spear-1'), 10_000, 'readiness says that the relay is lost');
    const back = Date.now() + 8_000;
    let slowest = 0;
    while (Date.now() < back) {
      const began = Date.now();
      await all(pairs, (writer) => writer.more(1));
      slowest = Math.max(slowest, Date.now() - began);
      await pause(50);
    }
    console.log(`the slowest of three pairs' acknowledgements without the broker: ${slowest} ms`);
    // What it was about is found in the store meanwhile.
    for (const { clients, conversation } of pairs) {
      const [alice, bob] = clients;
      const before = bob.in(conversation).length;
      await until(() => bob.in(conversation).length > before, 20_000, `${bob.user} hears from ${alice.user} without the broker`);
    }
    await bringBack(broker);
    await cluster.ready();
    await all(pairs, (writer) => writer.more(20));
    await settle(pairs);
  });
}
