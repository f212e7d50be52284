// A send is answered once it is stored, and goes again with the same cid until then.

import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';

import { FakeCluster, settle } from './fake.mjs';

const BOB = { user: 'bob' };

beforeEach(() => mock.timers.enable({ apis: ['setTimeout', 'Date'] }));
test.afterEach(() => mock.timers.reset());

const stored = (seq, more = {}) => ({ id: `${seq}`, seq, conversation: 'u:alice:bob', sent_at: 1, duplicate: false, ...more });

async function connected(options) {
  const cluster = new FakeCluster();
  const client = cluster.client(options);
  await client.connect();
  await settle();
  return { cluster, client };
}

/** Lets time pass until a condition holds. */
async function pass(until, budgetMs = 60_000) {
  for (let ms = 0; ms < budgetMs && !until(); ms += 100) {
    mock.timers.tick(100);
    await settle();
  }
  assert.ok(until(), `not within ${budgetMs} ms`);
}

test('a send resolves with the answer', async () => {
  const { cluster, client } = await connected();
  const sent = client.send(BOB, 'hello', { cid: 'c-1', type: 'note' });
  await settle();
  assert.deepEqual(cluster.link.ok('send', stored(1)), { to: BOB, cid: 'c-1', type: 'note', body: 'hello' });
  assert.equal((await sent).seq, 1);
});

test('one that was not answered goes again over the next connection, with its cid', async () => {
  const { cluster, client } = await connected();
  const sent = client.send(BOB, 'hello');
  await settle();
  const [first] = cluster.link.questions('send');
  cluster.link.end();
  await pass(() => cluster.links.length === 2);
  assert.deepEqual(cluster.link.ok('send', stored(1, { duplicate: true })), first);
  assert.equal((await sent).duplicate, true);
});

test('"not now" is waited out, no shorter than the spear says', async () => {
  const { cluster, client } = await connected();
  const sent = client.send(BOB, 'hello');
  await settle();
  const first = cluster.link.refuse('send', 'rate_limited', { retry_after_ms: 20_000 });
  await settle();
  mock.timers.tick(19_000);
  await settle();
  assert.deepEqual(cluster.link.questions('send'), []);
  await pass(() => cluster.link.questions('send').length === 1);
  assert.deepEqual(cluster.link.refuse('send', 'unavailable'), first);
  await pass(() => cluster.link.questions('send').length === 1);
  cluster.link.ok('send', stored(1));
  assert.equal((await sent).seq, 1);
});

test('what is refused for good is refused, and the next one goes', async () => {
  const { cluster, client } = await connected();
  const [one, two] = [client.send(BOB, 1), client.send(BOB, 2)];
  await settle();
  cluster.link.refuse('send', 'too_large');
  await assert.rejects(one, { code: 'too_large' });
  await settle();
  cluster.link.ok('send', stored(1));
  assert.equal((await two).seq, 1);
});

test('to one destination the order is kept, to others nobody waits', async () => {
  const { cluster, client } = await connected();
  for (const body of [1, 2]) void client.send(BOB, body);
  void client.send({ group: 'g' }, 3);
  await settle();
  assert.deepEqual(cluster.link.questions('send').map((send) => send.body), [1, 3]);
  cluster.link.ok('send', stored(1));
  await settle();
  assert.deepEqual(cluster.link.questions('send').map((send) => send.body), [3, 2]);
});

test('the queue is bounded, and takes again what there is room for', async () => {
  const { cluster, client } = await connected({ maxUnsent: 2 });
  const kept = [client.send(BOB, 1), client.send(BOB, 2)];
  await assert.rejects(client.send(BOB, 3), { code: 'queue_full' });
  await settle();
  cluster.link.ok('send', stored(1));
  await kept[0];
  void client.send(BOB, 4);
});

test('one that comes back as a message is answered by it, and is no message', async () => {
  const { cluster, client } = await connected();
  const sent = client.send(BOB, 'hello', { cid: 'c-1' });
  await settle();
  cluster.link.end();
  await pass(() => cluster.links.length === 2);
  cluster.link.message(7, { from: 'alice', to: BOB, cid: 'c-1', body: 'hello' });
  assert.deepEqual([(await sent).seq, (await sent).duplicate, client.got], [7, true, []]);
});

test("another's message with the same cid is theirs", async () => {
  const { cluster, client } = await connected();
  void client.send({ group: 'g' }, 'hello', { cid: 'c-1' });
  await settle();
  cluster.link.message(7, { conversation: 'g:g', from: 'bob', to: { group: 'g' }, cid: 'c-1' });
  assert.deepEqual(client.got, [7]);
});

test('to a room nothing is repeated that may have been said', async () => {
  const { cluster, client } = await connected();
  const sent = client.send({ room: 'lobby' }, 'hello');
  await settle();
  cluster.link.end();
  await assert.rejects(sent, { code: 'no_answer' });
  const later = client.send({ room: 'lobby' }, 'hello');
  await pass(() => cluster.links.length === 2);
  cluster.link.refuse('send', 'unavailable');
  await pass(() => cluster.link.questions('send').length === 1);
  cluster.link.ok('send', { id: '1', sent_at: 1 });
  assert.equal((await later).id, '1');
});

test('what had no answer when another connection took over is settled before anything goes over that one', async () => {
  const { cluster, client } = await connected();
  const [lost, next] = [client.send({ room: 'lobby' }, 1), client.send({ room: 'lobby' }, 2)];
  await settle();
  cluster.link.say('migrate', { after_ms: 1_000 });
  await pass(() => cluster.links.length === 2);
  await assert.rejects(lost, { code: 'no_answer' });
  assert.deepEqual(cluster.link.questions('send').map((send) => send.body), [2]);
  cluster.link.ok('send', { id: '2', sent_at: 1 });
  assert.equal((await next).id, '2');
});

test('a room is entered again before anything is sent to it', async () => {
  const { cluster, client } = await connected();
  const joined = client.join({ room: 'lobby' });
  cluster.link.ok('join', { members: 2 });
  assert.equal(await joined, 2);
  cluster.link.end();
  void client.send({ room: 'lobby' }, 'hello');
  await pass(() => cluster.links.length === 2);
  assert.deepEqual(cluster.link.asked.map((each) => each.event), ['join']);
  cluster.link.ok('join', { members: 1 });
  await settle();
  assert.deepEqual(cluster.link.asked.map((each) => each.event), ['send']);
});

test('one that waited for most of a day is given up: its cid is about to be forgotten', async () => {
  const { cluster, client } = await connected();
  const sent = client.send(BOB, 'hello');
  await settle();
  mock.timers.setTime(Date.now() + 24 * 3_600_000);
  cluster.link.refuse('send', 'unavailable');
  await assert.rejects(sent, { code: 'unavailable' });
});
