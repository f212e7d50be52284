// From one connection to the next: pauses, spears to avoid, moving, tokens, and the end.

import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';

import { load } from '../support/helper.mjs';
import { FakeCluster, PhalanxError, settle } from './fake.mjs';

const { backoffMs } = await load('backoff');

beforeEach(() => mock.timers.enable({ apis: ['setTimeout', 'Date'] }));
test.afterEach(() => mock.timers.reset());

async function connected(options) {
  const cluster = new FakeCluster();
  const client = cluster.client(options);
  await client.connect();
  await settle();
  return { cluster, client };
}

async function tick(ms) {
  mock.timers.tick(ms);
  await settle();
}

async function pass(until, budgetMs = 60_000) {
  for (let ms = 0; ms < budgetMs && !until(); ms += 100) await tick(100);
  assert.ok(until(), `not within ${budgetMs} ms`);
}

const token = (exp) => `x.${Buffer.from(JSON.stringify({ sub: 'alice', exp })).toString('base64url')}.y`;
const avoided = (cluster) => cluster.requests.map((request) => request.avoid);

test('the pause grows with the failures and is bounded on both sides', () => {
  assert.deepEqual([1, 2, 3].map((failures) => backoffMs(failures, 0.9999)), [500, 1_000, 2_000]);
  assert.ok(backoffMs(1_000, 0.9999) <= 15_000);
  assert.equal(backoffMs(1, 0), 100);
});

test('a connection that ends is followed by another one, with a new ticket', async () => {
  const { cluster, client } = await connected();
  cluster.link.end();
  assert.equal(client.state, 'waiting');
  await pass(() => cluster.links.length === 2);
  assert.deepEqual(cluster.links.map((link) => link.ticket), ['spear-1 1', 'spear-1 2']);
  assert.deepEqual([client.state, client.node], ['connected', 'spear-1']);
});

test('pauses grow while nothing answers', async (t) => {
  t.mock.method(Math, 'random', () => 0.9999);
  const { cluster } = await connected();
  cluster.refusals = Array.from({ length: 5 }, () => new PhalanxError('unreachable', 'no ticket'));
  const times = [];
  const began = Date.now();
  const { length } = cluster.requests;
  cluster.link.end();
  await pass(() => {
    if (cluster.requests.length > length + times.length) times.push(Date.now() - began);
    return cluster.links.length === 2;
  });
  assert.deepEqual(times, [500, 1_500, 3_500, 7_500, 15_500, 30_500]);
});

test('a spear that cannot be reached gives way to an alternate at once', async () => {
  const cluster = new FakeCluster();
  cluster.down.set('spear-1', 'unreachable');
  const client = cluster.client();
  await client.connect();
  assert.deepEqual([client.node, cluster.requests.length], ['spear-2', 1]);
});

test('spears that failed are avoided, until none is left', async () => {
  const cluster = new FakeCluster();
  cluster.down.set('spear-1', 'draining').set('spear-2', 'overloaded');
  const client = cluster.client();
  void client.connect();
  await pass(() => cluster.requests.length === 3);
  assert.deepEqual(avoided(cluster), [[], ['spear-1', 'spear-2'], []]);
});

test('a refused ticket is no reason to avoid a spear', async () => {
  const cluster = new FakeCluster();
  cluster.down.set('spear-1', 'ticket_expired');
  const client = cluster.client();
  void client.connect();
  await pass(() => cluster.requests.length === 2);
  assert.deepEqual(avoided(cluster), [[], []]);
});

test('a spear that stopped answering is avoided, one that went away is not', async () => {
  const { cluster } = await connected();
  cluster.link.end('transport close');
  await pass(() => cluster.links.length === 2);
  cluster.link.end('ping timeout');
  await pass(() => cluster.links.length === 3);
  assert.deepEqual(avoided(cluster), [[], [], ['spear-1']]);
});

test('ticket says when to ask again', async () => {
  const cluster = new FakeCluster();
  cluster.refusals = [new PhalanxError('rate_limited', 'not so fast', { status: 429, retryAfterMs: 30_000 })];
  const client = cluster.client();
  void client.connect();
  await settle();
  await tick(29_000);
  assert.equal(cluster.requests.length, 1);
  await pass(() => cluster.links.length === 1);
});

test('what trying again would not help ends it, and what waits is refused', async () => {
  const cluster = new FakeCluster();
  cluster.refusals = [new PhalanxError('banned', 'ticket: banned', { status: 403 })];
  const client = cluster.client();
  const sent = client.send({ user: 'bob' }, 'hello');
  await assert.rejects(client.connect(), { code: 'stopped' });
  assert.equal(client.state, 'stopped');
  await assert.rejects(sent, { code: 'stopped' });
  await tick(600_000);
  assert.equal(cluster.requests.length, 1);
});

test('an expired token is asked for anew, the same one not a third time', async () => {
  const cluster = new FakeCluster();
  const expired = () => new PhalanxError('token_expired', 'expired', { status: 401 });
  cluster.refusals = [expired()];
  let given = 0;
  const fresh = cluster.client({ token: () => `token ${(given += 1)}` });
  void fresh.connect();
  await pass(() => cluster.links.length === 1);
  assert.deepEqual(cluster.requests.map((request) => request.token), ['token 1', 'token 2']);
  cluster.refusals = [expired(), expired()];
  const stale = cluster.client();
  void stale.connect();
  await pass(() => stale.state === 'stopped');
});

test('kicked for good ends it; kicked otherwise, it comes back', async () => {
  const { cluster, client } = await connected();
  const kicks = [];
  client.on('kicked', (kicked) => kicks.push(kicked.reason));
  cluster.link.say('kicked', { reason: 'expired', reconnect: true });
  cluster.link.end('io server disconnect');
  await pass(() => cluster.links.length === 2);
  cluster.link.say('kicked', { reason: 'replaced', reconnect: false });
  assert.deepEqual([client.state, client.reason, kicks], ['stopped', 'kicked: replaced', ['expired', 'replaced']]);
  await tick(600_000);
  assert.equal(cluster.links.length, 2);
});

test('a leaving spear is left for another one before it goes', async () => {
  const { cluster, client } = await connected();
  const [old] = cluster.links;
  let letIn;
  cluster.held = new Promise((resolve) => (letIn = resolve));
  const sent = client.send({ user: 'bob' }, 'in between');
  await settle();
  old.say('migrate', { after_ms: 9_000 });
  await pass(() => cluster.requests.length === 2, 9_000);
  assert.deepEqual([avoided(cluster)[1], client.node, old.ended], [['spear-1'], 'spear-1', undefined]);
  // The other one has registered us: the old one refuses, and is told to go.
  old.message(1);
  old.refuse('send', 'forbidden');
  old.say('kicked', { reason: 'replaced', reconnect: false });
  old.end('io server disconnect');
  await settle();
  assert.equal(client.wanted, true);
  letIn();
  await settle();
  assert.deepEqual([client.state, client.node], ['connected', 'spear-2']);
  cluster.link.message(1);
  cluster.link.message(2);
  assert.deepEqual(client.got, [1, 2]);
  cluster.link.ok('send', { id: '1', seq: 3, conversation: 'u:alice:bob', sent_at: 1, duplicate: false });
  assert.equal((await sent).seq, 3);
});

test('a leaving spear that goes before another one is found is followed by the usual road', async () => {
  const { cluster, client } = await connected();
  cluster.nodes = ['spear-1'];
  cluster.link.say('migrate', { after_ms: 2_000 });
  await tick(1_000);
  cluster.link.end('io server disconnect');
  cluster.nodes = ['spear-1', 'spear-3'];
  cluster.down.set('spear-1', 'unreachable');
  await pass(() => client.node === 'spear-3');
});

test('a newer token is given before the old one expires, again and again', async () => {
  const now = () => Math.floor(Date.now() / 1000);
  const { cluster, client } = await connected({ token: () => token(now() + 600) });
  for (let round = 0; round < 3; round += 1) {
    await tick(539_000);
    assert.deepEqual(cluster.link.questions('refresh'), [], `round ${round}`);
    await tick(1_000);
    assert.deepEqual(cluster.link.questions('refresh'), [{ token: token(now() + 600) }]);
    cluster.link.ok('refresh', { expires_at: Date.now() + 600_000 });
    await settle();
  }
  cluster.link.end();
  await pass(() => client.state === 'connected');
});

test('a refresh that fails is tried again while there is time', async () => {
  const { cluster } = await connected({ token: () => token(Math.floor(Date.now() / 1000) + 100) });
  let asked = 0;
  for (let second = 0; second < 120; second += 1) {
    await tick(1_000);
    for (const _ of cluster.link.questions('refresh')) {
      asked += 1;
      cluster.link.refuse('refresh', 'unavailable');
      await settle();
    }
  }
  assert.ok(asked >= 3 && asked < 40, `${asked} attempts`);
});

test('confirmations are gathered, and wait for the application and for the cursors', async () => {
  const kept = [];
  const { cluster, client } = await connected({ cursors: { get: () => undefined, set: async (name, seq) => kept.push([name, seq]) } });
  let finish;
  client.on('message', ({ seq }) => (seq === 3 ? new Promise((resolve) => (finish = resolve)) : undefined));
  for (const seq of [1, 2, 3, 4]) cluster.link.message(seq);
  cluster.link.message(9, { conversation: 'g:g' });
  assert.deepEqual(cluster.link.questions('ack'), []);
  await tick(200);
  const [list] = cluster.link.questions('ack');
  assert.deepEqual(list, [{ conversation: 'u:alice:bob', seq: 2 }, { conversation: 'g:g', seq: 9 }]);
  assert.deepEqual(kept, [['u:alice:bob', 2], ['g:g', 9]]);
  cluster.link.ok('ack');
  finish();
  await settle();
  await tick(200);
  assert.deepEqual(cluster.link.questions('ack'), [{ conversation: 'u:alice:bob', seq: 4 }]);
});

test('what cannot be noted is not confirmed', async () => {
  const cursors = { get: () => undefined, set: () => Promise.reject(new Error('the disk is full')) };
  const { cluster, client } = await connected({ cursors });
  const errors = [];
  client.on('error', (error) => errors.push(error.message));
  cluster.link.message(1);
  await tick(200);
  assert.deepEqual([cluster.link.questions('ack'), errors], [[], ['the disk is full']]);
});

test('what the application does not take comes again with another connection', async () => {
  const { cluster, client } = await connected();
  let fails = true;
  const taken = [];
  client.on('message', async ({ seq }) => {
    if (fails && seq === 2) throw new Error('not now');
    taken.push(seq);
  });
  for (const seq of [1, 2, 3]) cluster.link.message(seq);
  await settle();
  assert.equal(cluster.links[0].ended, 'closed by this client');
  fails = false;
  await pass(() => cluster.links.length === 2);
  for (const seq of [2, 3]) cluster.link.message(seq);
  await settle();
  assert.deepEqual(taken, [1, 2, 3]);
});

test('an application that falls behind is given no more until it has caught up', async () => {
  const { cluster, client } = await connected({ maxUntaken: 3 });
  const finish = [];
  client.on('message', () => new Promise((resolve) => finish.push(resolve)));
  for (const seq of [1, 2, 3, 4, 5]) cluster.link.message(seq);
  assert.deepEqual([client.state, cluster.links[0].ended], ['waiting', 'closed by this client']);
  while (finish.length > 0) {
    finish.shift()();
    await settle();
  }
  await pass(() => cluster.links.length === 2);
  for (const seq of [1, 2, 3, 4, 5]) cluster.link.message(seq);
  while (finish.length > 0) {
    finish.shift()();
    await settle();
  }
  assert.deepEqual(client.got, [1, 2, 3, 4, 5]);
});

test('a gap is told once, and confirmed', async () => {
  const { cluster, client } = await connected();
  const gaps = [];
  client.on('gap', ({ from_seq, to_seq }) => gaps.push([from_seq, to_seq]));
  for (let round = 0; round < 2; round += 1) cluster.link.say('gap', { conversation: 'u:alice:bob', from_seq: 1, to_seq: 5 });
  cluster.link.message(6);
  await tick(200);
  assert.deepEqual([gaps, client.got, cluster.link.questions('ack')], [[[1, 5]], [6], [{ conversation: 'u:alice:bob', seq: 6 }]]);
});

test('goodbye confirms what was taken, and a next connect goes on', async () => {
  const { cluster, client } = await connected();
  cluster.link.message(1);
  const goodbye = client.disconnect();
  assert.equal(client.state, 'offline');
  await settle();
  assert.deepEqual(cluster.link.ok('ack'), { conversation: 'u:alice:bob', seq: 1 });
  await goodbye;
  assert.notEqual(cluster.links[0].ended, undefined);
  const sent = client.send({ user: 'bob' }, 'later');
  await client.connect();
  await settle();
  cluster.link.message(1);
  cluster.link.ok('send', { id: '2', seq: 2, conversation: 'u:alice:bob', sent_at: 1, duplicate: false });
  assert.deepEqual([(await sent).seq, client.got], [2, [1]]);
});

test('nobody connects who does not listen: messages would be confirmed unheard', () => {
  const cluster = new FakeCluster();
  const client = cluster.client();
  const deaf = new client.constructor({ ticketUrl: '', token: () => '' });
  assert.throws(() => deaf.connect(), /listen to "message"/);
});
