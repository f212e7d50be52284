// Given a cluster that exports its messages, when stat nodes or the broker are lost, then every stored message is in the topic all the
// same, in the order of its conversation.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Archive, exporting } from '../support/archive.mjs';
import { Client, directConversation, usersOnDifferentSpears } from '../support/client.mjs';
import { Ledger } from '../support/ledger.mjs';
import { PROFILE } from '../support/profile.mjs';
import { unique, withCluster } from '../support/suite.mjs';
import { Traffic } from '../support/traffic.mjs';
import { until } from '../support/wait.mjs';

// Where none is set: RocketMQ takes no dots.
const TOPIC = PROFILE === 'rocketmq' ? 'phalanx_messages' : 'phalanx.messages';
// The profile's session time-out is 3 s: so long a dead node holds its shares.
const MOVED_MS = 60_000;
const PAIRS = 6;

describe('the export', () => {
  let archive;
  // Before the cluster's own, which takes the broker away.
  after(async () => {
    await archive?.close();
    assert.deepEqual(archive?.problems, []);
  });
  const suite = withCluster({
    env: {
      PHALANX__STAT__EXPORT__TO: PROFILE,
      PHALANX__STAT__EXPORT__LINGER_MS: '50',
      PHALANX__STAT__EXPORT__RETRY_MAX_MS: '1000',
    },
  });
  before(async () => {
    await exporting(suite.cluster);
    archive = await Archive.open(suite.cluster, TOPIC);
  });

  const broker = () => suite.cluster.servers[PROFILE];

  async function pair() {
    const users = Object.values(await usersOnDifferentSpears(suite.cluster, unique('u')));
    const [alice, bob] = await Promise.all(users.map((user) => Client.connect(suite.cluster, user)));
    return [alice, bob, directConversation(alice.user, bob.user)];
  }

  const exported = (conversation, count) =>
    until(() => archive.of(conversation).length >= count, MOVED_MS, () => `${archive.of(conversation).length} of ${count} of ${conversation} are exported`);

  const backlog = async () => (await suite.cluster.stat('GET', '/v1/totals')).body.export;
  /** For how long the oldest that is on its way has been, in seconds. */
  const age = async () =>
    Math.max(...(await Promise.all(['stat-1', 'stat-2'].map((id) => suite.cluster.metric(id, 'phalanx_export_waiting_seconds')))).map((seconds) => seconds ?? 0));

  test('a record is what clients get, with the version of its schema', async () => {
    const [alice, bob, conversation] = await pair();
    const group = unique('g');
    await suite.cluster.stat('PUT', `/v1/groups/${group}`, { open: true });
    await suite.cluster.stat('PUT', `/v1/groups/${group}/members`, { users: [alice.user] });
    await alice.must('send', { to: { user: bob.user }, cid: 'c-1', type: 'note', body: { text: 'hello', n: 1.5 } });
    await suite.cluster.stat('POST', '/v1/messages', { from: 'system', to: { group }, body: 'news' });
    await bob.receives(conversation, 1);
    await exported(conversation, 1);
    await exported(`g:${group}`, 1);
    assert.deepEqual(archive.of(conversation), [{ version: 1, ...bob.in(conversation)[0] }]);
    const [news] = archive.of(`g:${group}`);
    assert.deepEqual([news.from, news.to, news.body, news.device], ['system', { group }, 'news', undefined]);
  });

  for (const [name, strike, heal] of [
    ['a stat node is killed', () => suite.cluster.killNode('stat-1'), () => suite.cluster.launchNode('stat-1')],
    ['the other one is killed', () => suite.cluster.killNode('stat-2'), () => suite.cluster.launchNode('stat-2')],
    ['the broker is killed and started again', () => broker().kill9(), () => broker().launch()],
    ['the broker is frozen for a while', () => broker().freeze(), () => broker().thaw()],
  ]) {
    test(`${name}: nothing is lost, order stays`, { timeout: 240_000 }, async () => {
      const pairs = await Promise.all(Array.from({ length: PAIRS }, pair));
      const ledger = new Ledger();
      const traffic = pairs.map(([alice, bob]) => new Traffic(alice, { user: bob.user }, ledger));
      await Promise.all(traffic.map((writer) => writer.more(100)));
      const repeated = archive.repeated;
      await strike();
      await Promise.all(traffic.map((writer) => writer.more(200)));
      await heal();
      await Promise.all(traffic.map((writer) => writer.more(100)));
      await Promise.all(traffic.map((writer) => writer.stop()));
      let total = 0;
      for (const [alice, , conversation] of pairs) {
        const stored = await ledger.check(alice, conversation);
        await exported(conversation, stored.length);
        assert.deepEqual(archive.of(conversation).map(({ seq, id, body }) => ({ seq, id, body })), stored.map(({ seq, id, body }) => ({ seq, id, body })));
        const partitions = new Set(archive.records.filter(({ key }) => key === conversation).map(({ partition }) => partition));
        assert.equal(partitions.size, 1, `${conversation} stays in one partition`);
        total += stored.length;
      }
      assert.deepEqual(traffic.flatMap(({ refusals }) => refusals), [], 'no send is refused');
      console.log(`${name}: ${total} messages exported, ${archive.repeated - repeated} of them again`);
    });
  }

  test('while the broker is away messages wait, and the totals say so; what is recalled meanwhile goes without its body', { timeout: 240_000 }, async () => {
    const [alice, bob, conversation] = await pair();
    await until(async () => (await age()) === 0, MOVED_MS, 'nothing is on its way');
    await broker().kill9();
    // What is on its way when the brokers cannot be reached goes as it was then.
    await alice.sendTo(bob.user, 1);
    await until(async () => (await age()) > 0, MOVED_MS, 'the first message is on its way');
    for (let n = 2; n <= 50; n += 1) await alice.sendTo(bob.user, n);
    await alice.must('recall', { conversation, seq: 25 });
    await until(async () => (await backlog()).waiting >= 50, MOVED_MS, '50 messages wait');
    await broker().launch();
    await exported(conversation, 50);
    const bodies = archive.of(conversation).map(({ seq, body, recalled_at }) => [seq, body, recalled_at !== undefined]);
    assert.deepEqual(bodies, Array.from({ length: 50 }, (_, index) => [index + 1, index === 24 ? null : index + 1, index === 24]));
    await until(async () => (await backlog()).waiting === 0, MOVED_MS, 'nothing waits');
  });
});
