// A user is erased while they and others are connected; and an export of what is kept of one.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Client, directConversation, history, usersOnDifferentSpears } from '../support/client.mjs';
import { API_KEY } from '../support/profile.mjs';
import { unique, withCluster } from '../support/suite.mjs';
import { until } from '../support/wait.mjs';

const suite = withCluster();

/** Alice and bob on different spears, who talk, and are in a group with one another. */
async function pair() {
  const [alice, bob] = Object.values(await usersOnDifferentSpears(suite.cluster, unique('u')));
  const group = unique('team');
  await suite.cluster.stat('PUT', `/v1/groups/${group}`, { owner: alice });
  await suite.cluster.stat('PUT', `/v1/groups/${group}/members`, { users: [alice, bob] });
  const clients = await Promise.all([alice, bob].map((user) => Client.connect(suite.cluster, user)));
  for (const [from, to] of [clients, [...clients].reverse(), clients]) {
    await from.sendTo(to.user, `to ${to.user}`);
    await from.sendToGroup(group, 'to all');
  }
  return { alice: clients[0], bob: clients[1], group, direct: directConversation(alice, bob) };
}

/** The lines of an export. */
async function exported(user) {
  const response = await fetch(`${suite.cluster.statUrl}/v1/users/${user}/export`, { headers: { authorization: `Bearer ${API_KEY}` } });
  assert.equal(response.status, 200);
  return (await response.text()).trimEnd().split('\n').map((line) => JSON.parse(line));
}

test('an erased user is gone, and the others have tombstones', async () => {
  const { alice, bob, group, direct } = await pair();
  const tablet = await Client.connect(suite.cluster, alice.user, { device: 'tablet', avoid: [alice.node] });
  const { status, body } = await suite.cluster.stat('DELETE', `/v1/users/${alice.user}`);
  assert.deepEqual([status, body], [200, { messages: 4, conversations: 2 }]);
  for (const client of [alice, tablet]) {
    assert.equal((await client.event('kicked')).reason, 'admin');
    await client.ended();
  }
  // Those who are there are told, whoever comes later reads it.
  const recalled = () => bob.events.filter(({ name }) => name === 'recalled').map(({ payload }) => `${payload.conversation} ${payload.seq}`);
  await until(() => recalled().length >= 4, 10_000, () => `bob hears of all, got ${recalled()}`);
  assert.deepEqual(recalled().sort(), [1, 3].flatMap((seq) => [`${direct} ${seq}`, `g:${group} ${seq}`]).sort());
  for (const conversation of [direct, `g:${group}`]) {
    const { messages } = await history(bob, conversation);
    assert.deepEqual(messages.map((message) => message.body === null), [true, false, true], conversation);
  }
  const members = await suite.cluster.stat('GET', `/v1/groups/${group}/members`);
  assert.deepEqual(members.body.members, [bob.user]);
  assert.equal((await suite.cluster.stat('GET', `/v1/groups/${group}`)).body.owner, null);
  assert.deepEqual((await exported(alice.user)).map(({ kind }) => kind), ['user', 'end']);

  // The name is a stranger's now.
  const stranger = await Client.connect(suite.cluster, alice.user);
  assert.equal(stranger.ready.resumed, false);
  assert.deepEqual((await stranger.must('conversations', {})).conversations, []);
  assert.equal((await stranger.ask('sync', { conversation: `g:${group}` })).error?.code, 'not_member');
  const { seq } = await bob.sendTo(alice.user, 'are you still there?');
  await until(() => stranger.messages.some((message) => message.seq === seq), 10_000, 'what is sent now arrives');
  const again = await suite.cluster.stat('DELETE', `/v1/users/${alice.user}`);
  assert.deepEqual([again.status, again.body], [200, { messages: 0, conversations: 1 }]);
});

test('an export holds what a user has said and was told', async () => {
  const { alice, bob, group, direct } = await pair();
  await alice.must('read', { conversation: direct, seq: 3 });
  const lines = await exported(alice.user);
  assert.deepEqual(lines.at(-1), { kind: 'end', conversations: 2, messages: 6 });
  const of = (kind) => lines.filter((line) => line.kind === kind);
  assert.deepEqual(of('device').map(({ device }) => device), ['default']);
  assert.deepEqual(of('conversation').map(({ conversation }) => conversation), [direct, `g:${group}`]);
  const messages = of('message').map(({ message }) => `${message.conversation} ${message.seq} ${message.from}`);
  const expected = [direct, `g:${group}`].flatMap((conversation) => [alice, bob, alice].map(({ user }, n) => `${conversation} ${n + 1} ${user}`));
  assert.deepEqual(messages, expected);
});
