// A back end that is told what happens: everything, in order, signed, and also what happened while it was away.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';

import { Client, directConversation, usersOnDifferentSpears } from '../support/client.mjs';
import { Receiver, awake } from '../support/receiver.mjs';
import { unique, withCluster } from '../support/suite.mjs';
import { until } from '../support/wait.mjs';

const TOLD_MS = 20_000;

// A suite, because its hooks run one after the other.
describe('webhooks', () => {
  let receiver;
  const options = { env: {} };
  before(async () => {
    receiver = await Receiver.start();
    Object.assign(options.env, receiver.env);
  });
  const suite = withCluster(options);
  before(() => awake(suite.cluster, receiver));
  afterEach(() => {
    receiver.answer = 204;
    assert.deepEqual(receiver.problems, []);
  });
  after(() => receiver.stop());

  const from1 = (count) => Array.from({ length: count }, (_, index) => index + 1);

  async function pair() {
    const users = Object.values(await usersOnDifferentSpears(suite.cluster, unique('u')));
    const [alice, bob] = await Promise.all(users.map((user) => Client.connect(suite.cluster, user)));
    return [alice, bob, directConversation(alice.user, bob.user)];
  }

  function told(conversation, count) {
    return until(() => receiver.seqs(conversation).length >= count, TOLD_MS, () => `${count} of ${conversation}: ${receiver.seqs(conversation)}`);
  }

  function toldOf(user, state) {
    return until(() => receiver.presence(user) === state, TOLD_MS, `${user} is told to be ${state}`);
  }

  test('every message is told, in the order of its conversation, as clients get it', async () => {
    const [alice, bob, conversation] = await pair();
    const group = unique('g');
    await suite.cluster.stat('PUT', `/v1/groups/${group}`, { open: true });
    await suite.cluster.stat('PUT', `/v1/groups/${group}/members`, { users: [alice.user, bob.user] });
    await Promise.all([
      ...from1(60).map((body) => alice.sendTo(bob.user, body)),
      ...from1(60).map((body) => bob.sendToGroup(group, { body })),
      ...from1(20).map((body) =>
        suite.cluster.stat('POST', '/v1/messages', { from: 'system', to: { group }, type: 'note', body }),
      ),
    ]);
    await bob.receives(conversation, 60);
    await told(conversation, 60);
    await told(`g:${group}`, 80);
    assert.deepEqual(receiver.seqs(conversation), from1(60));
    assert.deepEqual(receiver.seqs(`g:${group}`), from1(80));
    const events = receiver.once.filter(({ message }) => message?.conversation === conversation);
    assert.deepEqual(events.map(({ message }) => message), bob.in(conversation));
    assert.deepEqual(events.map(({ id, type }) => [id, type]), from1(60).map((seq) => [`message:${conversation}:${seq}`, 'message']));
    assert.ok(receiver.requests.length < receiver.events.length, 'several in a request');
  });

  test('users who come and go are told', async () => {
    const [alice] = await pair();
    await toldOf(alice.user, 'online');
    const tablet = await Client.connect(suite.cluster, alice.user, { device: 'tablet' });
    alice.close();
    const other = await Client.connect(suite.cluster, unique('u'));
    await toldOf(other.user, 'online');
    assert.equal(receiver.presence(alice.user), 'online', 'a device is left');
    tablet.close();
    await toldOf(alice.user, 'offline');
    const changes = receiver.once.filter(({ user }) => user === alice.user).map(({ type }) => type);
    assert.deepEqual(changes, ['online', 'offline']);
  });

  for (const answer of [503, 'cut', 'hang']) {
    test(`a back end that does not take anything (${answer}) gets it all later, and what was recalled meanwhile not at all`, async () => {
      const [alice, bob, conversation] = await pair();
      await toldOf(bob.user, 'online');
      receiver.answer = answer;
      const attempts = receiver.attempts.length;
      for (const body of from1(5)) await alice.sendTo(bob.user, body);
      await until(() => receiver.attempts.length >= attempts + 3, TOLD_MS, 'it is tried again');
      const tried = receiver.attempts.slice(attempts);
      const first = tried.filter(({ id }) => id === tried[0].id);
      assert.equal(new Set(first.map(({ body }) => body)).size, 1, 'the same id, the same body');
      for (const body of from1(95)) await alice.sendTo(bob.user, body + 5);
      await alice.must('recall', { conversation, seq: 90 });
      receiver.answer = 204;
      await told(conversation, 99);
      assert.deepEqual(receiver.seqs(conversation), from1(100).filter((seq) => seq !== 90));
    });
  }

  test('what happened while it was away is told after a crash of every node', async () => {
    const [alice, bob, conversation] = await pair();
    await Promise.all([toldOf(alice.user, 'online'), toldOf(bob.user, 'online')]);
    receiver.answer = 503;
    for (const body of from1(50)) await alice.sendTo(bob.user, body);
    await suite.cluster.crash();
    const back = await until(() => Client.connect(suite.cluster, alice.user).catch(() => undefined), TOLD_MS, 'alice is back');
    await back.sendTo(bob.user, 51);
    receiver.answer = 204;
    await told(conversation, 51);
    assert.deepEqual(receiver.seqs(conversation), from1(51));
    await toldOf(bob.user, 'offline');
    await toldOf(back.user, 'online');
  });
});
