// What retention has taken: a device that has not confirmed it is told, never silently left without it.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { Client, directConversation, history, usersOnDifferentSpears } from '../support/client.mjs';
import { EMBEDDED } from '../support/profile.mjs';
import { unique, withCluster } from '../support/suite.mjs';
import { until } from '../support/wait.mjs';

const TRIM_MS = 20_000;

/** What a client was told of a conversation, in order: `seq`, or `[from_seq, to_seq]` of a gap. */
function told(client, conversation) {
  return client.events
    .filter(({ name, payload }) => ['message', 'gap'].includes(name) && payload.conversation === conversation)
    .map(({ name, payload }) => (name === 'gap' ? [payload.from_seq, payload.to_seq] : payload.seq));
}

const from = (first, last) => Array.from({ length: last - first + 1 }, (_, index) => first + index);

/** Waits until the conversation begins with `seq`. */
function begins(client, conversation, seq) {
  const first = async () => (await client.must('sync', { conversation, after: 0, limit: 1 })).messages[0]?.seq;
  return until(async () => (await first()) === seq, TRIM_MS, `${conversation} begins with ${seq}`);
}

async function pair(suite) {
  const users = Object.values(await usersOnDifferentSpears(suite.cluster, unique('u')));
  const [alice, bob] = await Promise.all(users.map((user) => Client.connect(suite.cluster, user)));
  return [alice, bob, directConversation(alice.user, bob.user)];
}

describe('by number', () => {
  const KEPT = 10;
  const suite = withCluster({
    env: {
      PHALANX__STORE__RETENTION__COUNT: String(KEPT),
      PHALANX__STORE__RETENTION__INTERVAL_MS: '100',
    },
  });

  test('a device that was away gets a gap, then the rest, then what comes', async () => {
    const [alice, bob, conversation] = await pair(suite);
    for (const body of [1, 2, 3]) await alice.sendTo(bob.user, body);
    await bob.receives(conversation, 3);
    await bob.confirm(conversation, 2);
    bob.close();
    for (let body = 4; body <= 30; body += 1) await alice.sendTo(bob.user, body);
    await begins(alice, conversation, 21);
    const back = await Client.connect(suite.cluster, bob.user);
    await back.receives(conversation, KEPT);
    await alice.sendTo(bob.user, 31);
    await back.receives(conversation, KEPT + 1);
    assert.deepEqual(told(back, conversation), [[3, 20], ...from(21, 31)]);
    await back.confirm(conversation, 31);
    back.close();
    const again = await Client.connect(suite.cluster, bob.user);
    await alice.sendTo(bob.user, 32);
    await again.receives(conversation, 1);
    assert.deepEqual(told(again, conversation), [32]);
  });

  test("one's first device begins with what is left, and so does history", async () => {
    const [alice] = await pair(suite);
    const newcomer = unique('u');
    const conversation = directConversation(alice.user, newcomer);
    for (let body = 1; body <= 25; body += 1) await alice.sendTo(newcomer, body);
    await begins(alice, conversation, 16);
    const first = await Client.connect(suite.cluster, newcomer);
    await first.receives(conversation, KEPT);
    assert.deepEqual(told(first, conversation), from(16, 25));
    const { messages, lastSeq } = await history(first, conversation, 3);
    assert.deepEqual([messages.map((message) => message.seq), lastSeq], [from(16, 25), 25]);
  });

  test('of a group a member is told only of what was theirs', async () => {
    const [alice, bob] = await pair(suite);
    const group = unique('g');
    const conversation = `g:${group}`;
    const members = (users) => suite.cluster.stat('PUT', `/v1/groups/${group}/members`, { users });
    assert.ok((await suite.cluster.stat('PUT', `/v1/groups/${group}`, { open: false })).status < 300);
    assert.ok((await members([alice.user])).status < 300);
    bob.close();
    for (let body = 1; body <= 5; body += 1) await alice.sendToGroup(group, body);
    assert.ok((await members([bob.user])).status < 300);
    for (let body = 6; body <= 30; body += 1) await alice.sendToGroup(group, body);
    await begins(alice, conversation, 21);
    const back = await Client.connect(suite.cluster, bob.user);
    await back.receives(conversation, KEPT);
    assert.deepEqual(told(back, conversation), [[6, 20], ...from(21, 30)]);
  });

  test('who is connected misses nothing', async () => {
    const [alice, bob, conversation] = await pair(suite);
    // Never more on its way than is kept: what comes late is owed no more.
    for (let last = KEPT; last <= 300; last += KEPT) {
      await Promise.all(from(last - KEPT + 1, last).map((body) => alice.sendTo(bob.user, body)));
      await bob.receives(conversation, last);
    }
    assert.deepEqual(told(bob, conversation), from(1, 300));
  });
});

describe('by age', () => {
  const suite = withCluster({
    env: {
      PHALANX__STORE__RETENTION__AGE_SECONDS: '2',
      PHALANX__STORE__RETENTION__INTERVAL_MS: '100',
    },
  });

  test('what is too old is gone, its conversation stays, and `seq` goes on', async () => {
    const [alice, bob, conversation] = await pair(suite);
    bob.close();
    for (const body of [1, 2, 3]) await alice.sendTo(bob.user, body);
    await begins(alice, conversation, undefined);
    const { conversations } = await alice.must('conversations', {});
    const listed = conversations.find((each) => each.conversation === conversation);
    assert.deepEqual([listed.last_seq, listed.last_message], [3, null]);
    const back = await Client.connect(suite.cluster, bob.user);
    const { seq } = await alice.sendTo(bob.user, 4);
    assert.equal(seq, 4);
    await back.receives(conversation, 1);
    assert.deepEqual(told(back, conversation), [[1, 3], 4]);
  });

  test('a crash of every node takes nothing back', async () => {
    const [alice, bob, conversation] = await pair(suite);
    bob.close();
    for (const body of [1, 2]) await alice.sendTo(bob.user, body);
    await begins(alice, conversation, undefined);
    await suite.cluster.crash();
    const [writer, back] = await Promise.all(
      [alice.user, bob.user].map((user) => Client.connect(suite.cluster, user)),
    );
    await writer.sendTo(bob.user, 3);
    await back.receives(conversation, 1);
    assert.deepEqual(told(back, conversation), [[1, 2], 3]);
  });
});

describe('by bytes', () => {
  const BOUND = 12 << 20;
  const BODY = 'x'.repeat(48_000);
  const COUNT = 800;
  const AT_ONCE = 16;
  const suite = withCluster({
    env: {
      PHALANX__STORE__RETENTION__INTERVAL_MS: '100',
      // The one who fills it does so alone.
      PHALANX__SPEAR__EVENTS__CONNECTION_PER_SECOND: '0',
      PHALANX__SPEAR__EVENTS__USER_PER_SECOND: '0',
      // Redis has a bound of its own.
      ...(EMBEDDED ? { PHALANX__STORE__RETENTION__BYTES: String(BOUND) } : {}),
    },
  });

  test('the oldest history goes, of all conversations, and no send is refused', async () => {
    const { redis } = suite.cluster.servers;
    if (redis) assert.ok(await redis.answers(`CONFIG SET maxmemory ${BOUND}\r\n`, '+OK'));
    const [alice, bob, conversation] = await pair(suite);
    bob.close();
    const early = unique('u');
    for (let n = 0; n < 20; n += 1) await alice.sendTo(early, BODY);
    // Faster than trimming can follow: what is younger than a second stays, so the store has no room for a while.
    let sent = 0;
    const sends = async () => {
      while (sent < COUNT) {
        sent += 1;
        await alice.sendTo(bob.user, BODY);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, sends));
    // A conversation of which all is gone keeps its place.
    await begins(alice, directConversation(alice.user, early), undefined);

    const fits = async () => {
      const { body } = await suite.cluster.stat('GET', '/v1/totals');
      return body.store?.filled < 0.95 && body.store.messages < COUNT && body.store.oldest_at > 0 && body.store;
    };
    const { bytes } = await until(fits, TRIM_MS, 'the totals say that there is room again');
    // How much more than needed goes depends on how the last ones came: what came at one moment goes together.
    assert.ok(bytes < BOUND && bytes > BOUND / 3, `${bytes} bytes`);

    const back = await Client.connect(suite.cluster, bob.user);
    const { messages: left } = await history(back, conversation);
    assert.equal(left.at(-1).seq, COUNT);
    await until(() => told(back, conversation).at(-1) === COUNT, TRIM_MS, 'bob has the rest');
    // More may have gone while bob was reading.
    const steps = told(back, conversation).map((step) => (Array.isArray(step) ? step : [step, step]));
    assert.equal(steps[0][0], 1);
    assert.ok(steps[0][1] > 1, 'first comes a gap');
    steps.slice(1).forEach(([first], index) => assert.equal(first, steps[index][1] + 1, 'each step follows the one before'));
  });
});
