// Pairs of users on different spears who write to one another all the while, whatever happens to the cluster.

import assert from 'node:assert/strict';

import { Client, directConversation, usersOnDifferentSpears } from './client.mjs';
import { Ledger, assertInOrder } from './ledger.mjs';
import { unique } from './suite.mjs';
import { Traffic } from './traffic.mjs';
import { until } from './wait.mjs';

/** So many pairs who have begun: `{ledger, clients, conversation, traffic}`. */
export async function talkers(cluster, count) {
  const found = [];
  for (let pair = 0; pair < count; pair += 1) {
    const users = Object.values(await usersOnDifferentSpears(cluster, unique('u')));
    const [alice, bob] = await Promise.all(users.map((user) => Client.connect(cluster, user)));
    const ledger = new Ledger();
    const traffic = [new Traffic(alice, { user: bob.user }, ledger), new Traffic(bob, { user: alice.user }, ledger)];
    found.push({ ledger, clients: [alice, bob], conversation: directConversation(alice.user, bob.user), traffic });
  }
  return found;
}

/** Does something with every writer of them. */
export const all = (pairs, act) => Promise.all(pairs.flatMap(({ traffic }) => traffic.map(act)));

/** Ends it: everybody is still on the same connection, and has everything, in order. */
export async function settle(pairs) {
  await all(pairs, (writer) => writer.stop());
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
