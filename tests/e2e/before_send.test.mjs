// A back end that judges messages before they are stored.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Client, directConversation, history, usersOnDifferentSpears } from '../support/client.mjs';
import { Receiver } from '../support/receiver.mjs';
import { unique, withCluster } from '../support/suite.mjs';

const from1 = (count) => Array.from({ length: count }, (_, index) => index + 1);

/** A cluster whose messages `receiver` judges, in a suite of its own. */
function judged(more, run) {
  const world = { receiver: undefined, suite: undefined };
  const options = { env: {} };
  before(async () => {
    world.receiver = await Receiver.start();
    Object.assign(options.env, world.receiver.beforeSend, more);
  });
  world.suite = withCluster(options);
  afterEach(() => {
    world.receiver.judge = () => ({ allow: true });
    assert.deepEqual(world.receiver.problems, []);
  });
  after(() => world.receiver.stop());
  run(world);
}

async function pair({ suite }) {
  const users = Object.values(await usersOnDifferentSpears(suite.cluster, unique('u')));
  const [alice, bob] = await Promise.all(users.map((user) => Client.connect(suite.cluster, user)));
  return [alice, bob, directConversation(alice.user, bob.user)];
}

describe('before_send', () => {
  judged({}, (world) => {
    test('what is refused is not stored, and its sender gets the reason', async () => {
      const [alice, bob, conversation] = await pair(world);
      const asked = [];
      world.receiver.judge = (message) => {
        asked.push(message);
        return message.body === 'rude' ? { allow: false, reason: 'be kind' } : { allow: true };
      };
      await alice.sendTo(bob.user, 'hello');
      const refused = await alice.ask('send', { to: { user: bob.user }, cid: 'c-1', body: 'rude' });
      assert.deepEqual([refused.ok, refused.error.code, refused.error.message], [false, 'forbidden', 'be kind']);
      await alice.sendTo(bob.user, 'bye');
      await bob.receives(conversation, 2);
      assert.deepEqual((await history(alice, conversation)).messages.map(({ body }) => body), ['hello', 'bye']);
      const { from, device, to, type, cid, body } = asked[1];
      assert.deepEqual(
        { from, device, to, type, cid, body, conversation: asked[1].conversation },
        { from: alice.user, device: 'default', to: { user: bob.user }, type: 'text', cid: 'c-1', body: 'rude', conversation },
      );
      const byBackEnd = await world.suite.cluster.stat('POST', '/v1/messages', {
        from: alice.user,
        to: { user: bob.user },
        body: 'rude',
      });
      assert.deepEqual([byBackEnd.status, byBackEnd.body.code], [403, 'forbidden']);
    });

    test('verdicts that come in another order change nothing, and hold up no other conversation', async () => {
      const [alice, bob, conversation] = await pair(world);
      const other = unique('u');
      let go;
      const held = new Promise((resolve) => (go = resolve));
      world.receiver.judge = async ({ to, body }) => {
        // The first ones take longest.
        if (to.user === bob.user) await held.then(() => sleep(600 - 20 * body));
        return { allow: body % 5 !== 0 };
      };
      const slow = Promise.all(from1(25).map((body) => alice.ask('send', { to: { user: bob.user }, body })));
      await alice.sendTo(other, 1);
      go();
      const answers = await slow;
      const allowed = from1(25).filter((body) => body % 5 !== 0);
      assert.deepEqual(answers.filter(({ ok }) => ok).map(({ seq }) => seq), from1(20));
      await bob.receives(conversation, 20);
      assert.deepEqual(bob.in(conversation).map(({ body }) => body), allowed);
    });

    test('without a verdict the client is to try again', async () => {
      const [alice, bob, conversation] = await pair(world);
      for (const verdict of [500, 302, { yes: true }, new Promise(() => {})]) {
        world.receiver.judge = () => verdict;
        const { error } = await alice.ask('send', { to: { user: bob.user }, body: 1 });
        assert.equal(error.code, 'unavailable');
        assert.ok(error.retry_after_ms > 0);
      }
      world.receiver.judge = () => 204;
      assert.equal((await alice.sendTo(bob.user, 2)).seq, 1);
      await bob.receives(conversation, 1);
    });

    test('rooms and signals are not judged', async () => {
      const [alice] = await pair(world);
      world.receiver.judge = () => ({ allow: false });
      const room = unique('r');
      await alice.must('join', { room });
      await alice.must('send', { to: { room }, body: 1 });
    });
  });
});

describe('before_send that is allowed to fail', () => {
  judged({ PHALANX__WEBHOOKS__BEFORE_SEND__ON_FAILURE: 'allow' }, (world) => {
    test('without a verdict a message is sent', async () => {
      const [alice, bob, conversation] = await pair(world);
      world.receiver.judge = () => 503;
      for (const body of from1(3)) await alice.sendTo(bob.user, body);
      await bob.receives(conversation, 3);
      world.receiver.judge = () => ({ allow: false });
      const { error } = await alice.ask('send', { to: { user: bob.user }, body: 4 });
      assert.equal(error.code, 'forbidden');
    });
  });
});
