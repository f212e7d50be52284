// Given a cluster under load, when ZooKeeper is gone, then message ids go on or stop as `cluster.on_zookeeper_loss` says, in both modes
// of idgen, and readiness and metrics say so while it lasts.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { checkIds } from '../checker/ids.mjs';
import { Client, closeAll, usersOnDifferentSpears } from '../support/client.mjs';
import { Cluster } from '../support/cluster.mjs';
import { unique } from '../support/suite.mjs';
import { until } from '../support/wait.mjs';

const ANSWER_MS = 8_000;

/** A user who sends one message after the other, and notes when each was sent and answered, and its id. */
class Sender {
  calls = [];
  codes = [];
  #stopped = false;

  constructor(client, to) {
    this.client = client;
    this.done = this.#run(to);
  }

  async #run(to) {
    for (let number = 1; !this.#stopped; number += 1) {
      const began = performance.now();
      const send = { to: { user: to }, cid: `${this.client.user}-${number}`, body: number };
      const answer = await this.client.ask('send', send, ANSWER_MS).catch(() => undefined);
      if (answer?.ok) this.calls.push({ began, ended: performance.now(), first: answer.id, last: answer.id });
      else this.codes.push(answer?.error.code ?? 'no answer');
    }
  }

  /** Waits until so many more were answered that were sent after now. */
  more(count) {
    const since = performance.now();
    return until(
      () => this.calls.filter(({ began }) => began > since).length >= count,
      30_000,
      () => `${count} more messages of ${this.client.user}; refused: ${this.codes.slice(-3)}`,
    );
  }

  stop() {
    this.#stopped = true;
    return this.done;
  }
}

/** A cluster with these settings, and two users on different spears who write to one another. */
async function world(t, env) {
  const cluster = await Cluster.start({ env });
  t.after(async () => {
    closeAll();
    await cluster.dispose({ failed: t.passed === false });
  });
  const users = Object.values(await usersOnDifferentSpears(cluster, unique('u')));
  const [alice, bob] = await Promise.all(users.map((user) => Client.connect(cluster, user)));
  const senders = [new Sender(alice, bob.user), new Sender(bob, alice.user)];
  const both = (count) => Promise.all(senders.map((sender) => sender.more(count)));
  await both(20);
  return { cluster, senders, both, spears: [alice.node, bob.node] };
}

async function says(cluster, id, name, pattern) {
  await until(
    async () => {
      const { conditions } = await cluster.readiness(id);
      return pattern.test(conditions.find((condition) => condition.name === name)?.detail);
    },
    30_000,
    `readiness of ${id} says of ${name}: ${pattern}`,
  );
}

async function metric(cluster, id, name) {
  const text = await (await fetch(`${cluster.nodes.get(id).admin}/metrics`)).text();
  const line = text.split('\n').find((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
  return Number(line?.split(' ').at(-1));
}

async function judge(senders, strict) {
  await Promise.all(senders.map((sender) => sender.stop()));
  const report = checkIds(senders.flatMap(({ calls }) => calls), { strict });
  assert.ok(report.holds, String(report));
  for (const { client } of senders) assert.equal(client.disconnected, undefined, `${client.user} is still connected`);
}

test('"unique", one active idgen: spears cut ids of their own, and say so', { timeout: 180_000 }, async (t) => {
  const { cluster, senders, both, spears } = await world(t, {});
  await cluster.servers.zookeeper.kill9();
  for (const spear of spears) {
    await says(cluster, spear, 'ids', /cut here since \d+, unique but in no order/);
    assert.equal(await metric(cluster, spear, 'phalanx_rpc_ids_unordered'), 1);
  }
  assert.equal(await metric(cluster, 'idgen-1', 'phalanx_roster_health'), 0);
  await both(100);
  await cluster.servers.zookeeper.launch();
  for (const spear of spears) {
    await says(cluster, spear, 'ids', /^from idgen$/);
    await until(async () => (await metric(cluster, spear, 'phalanx_rpc_ids_unordered')) === 0, 10_000, 'the metric says it');
  }
  await both(20);
  await judge(senders, false);
});

test('"unique", several active idgens: they go on', { timeout: 180_000 }, async (t) => {
  const { cluster, senders, both, spears } = await world(t, { PHALANX__IDGEN__MODE: 'multi' });
  await cluster.servers.zookeeper.kill9();
  for (const id of ['idgen-1', 'idgen-2']) {
    await says(cluster, id, 'idgen', /^active, worker number \d+: ZooKeeper cannot be reached/);
    assert.equal(await metric(cluster, id, 'phalanx_roster_health'), 0);
  }
  await both(100);
  for (const spear of spears) await says(cluster, spear, 'ids', /^from idgen$/);
  // One of them dies meanwhile: its callers go to the other one.
  await cluster.killNode('idgen-1');
  await both(100);
  await cluster.servers.zookeeper.launch();
  await says(cluster, 'idgen-2', 'idgen', /^active, worker number \d+$/);
  await cluster.launchNode('idgen-1');
  await both(20);
  await judge(senders, false);
});

for (const mode of ['strict', 'multi']) {
  test(`"stop", ${mode}: sends are refused until ZooKeeper is back`, { timeout: 180_000 }, async (t) => {
    const { cluster, senders, both, spears } = await world(t, {
      PHALANX__IDGEN__MODE: mode,
      PHALANX__CLUSTER__ON_ZOOKEEPER_LOSS: 'stop',
    });
    await cluster.servers.zookeeper.kill9();
    await until(() => senders.every(({ codes }) => codes.includes('unavailable')), 30_000, 'sends are refused');
    for (const spear of spears) await says(cluster, spear, 'ids', /^none: /);
    const had = senders.map(({ calls }) => calls.length);
    const refused = senders.map(({ codes }) => codes.length);
    await until(() => senders.every(({ codes }, index) => codes.length >= refused[index] + 2), 30_000, 'and refused again');
    assert.deepEqual(senders.map(({ calls }) => calls.length), had, 'nothing was sent in between');
    await cluster.servers.zookeeper.launch();
    await both(20);
    for (const spear of spears) await says(cluster, spear, 'ids', /^from idgen$/);
    await judge(senders, mode === 'strict');
  });
}
