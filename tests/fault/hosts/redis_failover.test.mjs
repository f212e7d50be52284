// Given users who write all the while, when the Redis primary is cut off from its replicas and then replaced, then with
// `redis.wait_replicas = 1` nothing acknowledged is lost and no seq stands for two messages. With 0, where what only the primary has is
// acknowledged, the same test sees the loss: so it would see one.

import assert from 'node:assert/strict';

import { Client, directConversation, history, usersOnDifferentSpears } from '../../support/client.mjs';
import { testOnHosts } from '../../support/hosts/suite.mjs';
import { unique } from '../../support/suite.mjs';
import { until } from '../../support/wait.mjs';

const NODES = ['spear-1', 'spear-2', 'ticket-1', 'stat-1', 'idgen-1'];
const BUDGET_MS = 30_000;
// A Sentinel that stood still for two seconds does nothing for thirty (TILT).
const FAILOVER_MS = 75_000;
const ANSWER_MS = 5_000;
const PAUSE_MS = 20;

/** Writes one message after the other; the same cid until it is acknowledged. */
class Writer {
  /** `{seq, id}` of every acknowledgement. */
  acknowledged = [];
  refused = 0;
  #stopped = false;

  constructor(client, to) {
    Object.assign(this, { client, to });
    this.done = this.#run();
  }

  async #run() {
    for (let number = 1; !this.#stopped; number += 1) {
      for (;;) {
        const send = { to: { user: this.to }, cid: `${this.client.user}-${number}`, body: number };
        const answer = await this.client.ask('send', send, ANSWER_MS).catch(() => undefined);
        if (answer?.ok) {
          this.acknowledged.push({ seq: answer.seq, id: answer.id });
          break;
        }
        this.refused += 1;
        if (this.#stopped) return;
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
    }
  }

  more(count) {
    const wanted = this.acknowledged.length + count;
    return until(() => this.acknowledged.length >= wanted, BUDGET_MS, `${count} more sends of ${this.client.user} are acknowledged`);
  }

  refuses() {
    const before = this.refused;
    return until(() => this.refused > before, BUDGET_MS, `a send of ${this.client.user} is refused`);
  }

  stop() {
    this.#stopped = true;
    return this.done;
  }
}

/** Answers what was acknowledged and is not there, and which seqs were acknowledged for two messages. */
async function fail(site, whileCut) {
  const [alice, bob] = await Promise.all(
    Object.values(await usersOnDifferentSpears(site, unique('u'))).map((user) => Client.connect(site, user)),
  );
  const writers = [new Writer(alice, bob.user), new Writer(bob, alice.user)];
  await Promise.all(writers.map((writer) => writer.more(30)));

  const old = await site.redis.primary();
  const others = site.redis.servers.filter((server) => server !== old).map(({ host }) => host.name);
  site.network.rules.drop('cut', [old.host.name], others);
  await Promise.all(writers.map(whileCut));
  // The Sentinels of the other two hosts name another one. The old one never comes back to anybody who would listen.
  await site.redis.failover(old, FAILOVER_MS);
  await old.kill9();
  site.network.rules.heal('cut');
  await site.redis.follow(old);
  old.start();
  await Promise.all(writers.map((writer) => writer.more(60)));
  await Promise.all(writers.map((writer) => writer.stop()));
  await site.whole();

  const { messages } = await history(alice, directConversation(alice.user, bob.user));
  const acknowledged = writers.flatMap((writer) => writer.acknowledged);
  const stored = new Map(messages.map(({ seq, id }) => [seq, id]));
  const lost = acknowledged.filter(({ seq, id }) => stored.get(seq) !== id);
  const bySeq = groupBy(acknowledged, ({ seq }) => seq);
  const twice = [...bySeq].filter(([, each]) => new Set(each.map(({ id }) => id)).size > 1);
  return { acknowledged: acknowledged.length, lost: lost.length, twice: twice.length };
}

function groupBy(list, key) {
  const groups = new Map();
  for (const each of list) groups.set(key(each), [...(groups.get(key(each)) ?? []), each]);
  return groups;
}

testOnHosts('a replaced primary takes nothing acknowledged with it', { nodes: NODES }, async (site, context) => {
  const found = await fail(site, (writer) => writer.refuses());
  context.diagnostic(JSON.stringify(found));
  assert.deepEqual([found.lost, found.twice], [0, 0]);
});

testOnHosts(
  'with wait_replicas = 0 it does, and this test sees it',
  { nodes: NODES, env: { PHALANX__REDIS__WAIT_REPLICAS: '0' } },
  async (site, context) => {
    const found = await fail(site, (writer) => writer.more(10));
    context.diagnostic(JSON.stringify(found));
    assert.ok(found.lost > 0, 'what only the old primary had is lost');
    assert.ok(found.twice > 0, 'and its seqs are given again');
  },
);
