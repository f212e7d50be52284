// An operator drains a spear and takes it back: clients are told to move a few at a time, nobody newcomes, and nothing is lost.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Client, refusalOf, ticketFor } from '../support/client.mjs';
import { Cluster } from '../support/cluster.mjs';
import { unique, withCluster } from '../support/suite.mjs';
import { until } from '../support/wait.mjs';

const suite = withCluster();
const [SPEAR, OTHER] = ['spear-1', 'spear-2'];
const MANY = 16;
const BUDGET_MS = 20_000;

const order = (what, body, id = SPEAR) => suite.cluster.stat('POST', `/v1/nodes/${id}/${what}`, body);

/** Users who belong to the spear, with a ticket each. */
async function belonging(count, prefix = unique('u')) {
  const found = [];
  for (let number = 1; found.length < count; number += 1) {
    assert.ok(number <= 40 * count, 'names that belong to a spear are found');
    const user = `${prefix}-${number}`;
    const ticket = await ticketFor(suite.cluster, user);
    if (ticket.spear.id === SPEAR) found.push({ user, ticket });
  }
  return found;
}

/** As many clients on the spear, which note when they are told to move. */
async function clients(count) {
  const users = await belonging(count);
  return Promise.all(
    users.map(async ({ user, ticket }) => {
      const client = await Client.withTicket(ticket, user);
      client.socket.onAny((name) => {
        if (name === 'migrate') client.toldAt = performance.now();
      });
      return client;
    }),
  );
}

/** A moment may pass until a ticket node sees what stat has seen in the roster. */
const ticketsLeadTo = (spear, user, options) =>
  until(
    async () => (await ticketFor(suite.cluster, user, options)).spear.id === spear,
    BUDGET_MS,
    `tickets of ${user} lead to ${spear}`,
  );

const told = (all) => all.filter((client) => client.toldAt !== undefined);

test('a drained spear tells its clients a few at a time, takes nobody in, and undrain takes that back', async () => {
  const all = await clients(MANY);
  const [late] = await belonging(1);
  const answer = await order('drain', { after_ms: 12_000 });
  assert.deepEqual([answer.status, answer.body.id, answer.body.state], [200, SPEAR, 'draining']);

  // Somebody who was told may finish.
  const first = await until(() => told(all)[0], BUDGET_MS, 'the first one is told');
  assert.equal((await first.sendTo(all[1].user, 'before I go')).seq, 1);
  assert.deepEqual(await first.event('migrate'), { after_ms: 3_000 });
  assert.equal((await refusalOf(late.ticket.spear.url, late.ticket.ticket)).code, 'draining');
  await ticketsLeadTo(OTHER, late.user);
  const readiness = await suite.cluster.readiness(SPEAR);
  assert.match(readiness.conditions.find(({ name }) => name === 'draining').detail, /^\d+ connections are left/);

  // None of them knows `migrate`: they are closed in their turn, not all at the end.
  await until(() => all.every((client) => client.disconnected), BUDGET_MS, 'all are gone');
  assert.equal(told(all).length, MANY);
  const times = all.map((client) => client.toldAt).sort((a, b) => a - b);
  assert.ok(times.at(-1) - times[0] > 1_500, `told within ${times.at(-1) - times[0]} ms`);
  const most = Math.max(...times.map((from) => times.filter((at) => at >= from && at < from + 500).length));
  assert.ok(most <= MANY / 2, `${most} of ${MANY} were told within half a second`);

  assert.equal((await order('drain', {})).status, 200, 'again changes nothing');
  const back = await order('undrain');
  assert.deepEqual([back.status, back.body.state], [200, 'up']);
  await ticketsLeadTo(SPEAR, late.user);
  assert.equal((await Client.connect(suite.cluster, late.user)).node, SPEAR);
  assert.equal((await suite.cluster.readiness(SPEAR)).ready, true);
});

test('undrain in the middle: whoever was not told stays, and whoever was told is not closed', async () => {
  const all = await clients(MANY);
  assert.equal((await order('drain', { after_ms: 12_000 })).status, 200);
  await until(() => told(all).length >= 2, BUDGET_MS, 'some are told');
  assert.equal((await order('undrain')).status, 200);
  // What was on its way comes before the answer to what is asked now.
  await Promise.all(all.map((client) => client.must('conversations', {})));
  const then = told(all).length;
  assert.ok(then < MANY, 'some are not told');
  // Time enough for what is wrong to show: those who were told had 3 s.
  await new Promise((resolve) => setTimeout(resolve, 3_500));
  assert.equal(told(all).length, then);
  assert.deepEqual(all.map((client) => client.disconnected), Array(MANY).fill(undefined));
});

test('a spear that is held takes nobody in, and keeps those whom it has', async () => {
  const all = await clients(4);
  const answer = await order('drain', { hold: true });
  assert.deepEqual([answer.status, answer.body.state], [200, 'draining']);
  await ticketsLeadTo(OTHER, all[0].user, { device: 'two' });
  assert.equal((await order('undrain')).status, 200);
  assert.equal(told(all).length, 0);
});

test('a spear sheds a part of its clients and goes on', async () => {
  const all = await clients(MANY);
  const connections = (await suite.cluster.stat('GET', `/v1/nodes/${SPEAR}`)).body.counters.connections;
  const answer = await order('shed', { share: 0.5, after_ms: 2_000 });
  assert.deepEqual([answer.status, answer.body.state], [202, 'up']);
  // A connection of an earlier test may not have been counted out yet.
  await until(() => told(all).length >= MANY / 2 - Math.max(connections - MANY, 0), BUDGET_MS, 'half of them are told');
  await until(
    async () => (await suite.cluster.stat('GET', `/v1/nodes/${SPEAR}`)).body.counters.draining_remaining === 0,
    BUDGET_MS,
    'it is done',
  );
  assert.ok(told(all).length <= MANY / 2 + 1, `${told(all).length} of ${MANY} were told`);
  assert.equal((await ticketFor(suite.cluster, all[0].user, { device: 'two' })).spear.id, SPEAR);
});

test('what cannot be done is refused', async () => {
  assert.equal((await order('drain', {}, 'spear-99')).status, 404);
  assert.equal((await order('drain', {}, 'ticket-1')).status, 409);
  assert.equal((await order('undrain', undefined, 'stat-1')).status, 409);
  assert.equal((await order('drain', { after_ms: 0 })).status, 400);
  assert.equal((await order('shed', { share: 0 })).status, 400);
  assert.equal((await order('shed', { share: 1.01 })).status, 400);
  assert.equal((await order('drain', { hold: true })).status, 200);
  const last = await order('drain', {}, OTHER);
  assert.deepEqual([last.status, last.body.code], [409, 'bad_request'], 'somebody has to take the clients');
  assert.equal((await order('shed', { share: 0.5 })).status, 409, 'all of its clients move');
  assert.equal((await order('undrain')).status, 200);
});

test('a cluster that ends does not wait for clients that have nowhere to go', async (t) => {
  // Twice as long as a test waits for the end of a process.
  const cluster = await Cluster.start({ env: { PHALANX__SPEAR__DRAIN_TIMEOUT_MS: '60000' } });
  t.after(() => cluster.dispose({ failed: t.passed === false }));
  const client = await Client.connect(cluster, 'alice');
  cluster.signal('SIGTERM');
  assert.ok((await client.event('migrate')).after_ms > 0);
  assert.deepEqual(await cluster.exited(), { code: 0, signal: null });
  assert.ok(await client.ended());
});
