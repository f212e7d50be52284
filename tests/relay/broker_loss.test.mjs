// Given a cluster under load whose relay has a broker of its own, when that broker is killed or frozen, and comes back, then every send
// is acknowledged as before, nothing is lost or out of order, and /readyz says what is missing.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { PROFILE } from '../support/profile.mjs';
import { withCluster } from '../support/suite.mjs';
import { all, settle, talkers } from '../support/talkers.mjs';
import { until } from '../support/wait.mjs';

const suite = withCluster();

/** Everybody is on the same connection, no send was refused, and everybody has everything in order. */
async function settleUnrefused(pairs) {
  await settle(pairs);
  for (const { traffic } of pairs) assert.deepEqual(traffic.flatMap(({ refusals }) => refusals), [], 'no send is refused');
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
    const pairs = await talkers(cluster, 3);
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
    await settleUnrefused(pairs);
  });
}
