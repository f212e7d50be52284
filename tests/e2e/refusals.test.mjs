// Everything that CONTRACT §2 refuses, with its code.

import assert from 'node:assert/strict';
import { suite as describe, test } from 'node:test';

import { Client, askTicket, open, refusalOf, ticketFor } from '../support/client.mjs';
import { Cluster } from '../support/cluster.mjs';
import { decode, inSeconds, sign } from '../support/jwt.mjs';
import { EMBEDDED } from '../support/profile.mjs';
import { unique, withCluster } from '../support/suite.mjs';
import { until } from '../support/wait.mjs';

describe('ticket refuses', () => {
  const suite = withCluster();

  async function refused(token, body) {
    const answer = await askTicket(suite.cluster, token, body);
    assert.equal(answer.headers.get('content-type'), 'application/problem+json');
    assert.equal(answer.body.status, answer.status);
    assert.ok(answer.body.title && answer.body.type && answer.body.detail);
    return [answer.status, answer.body.code];
  }

  test('a token that is missing, changed or of another key', async () => {
    assert.deepEqual(await refused(undefined), [401, 'token_invalid']);
    assert.deepEqual(await refused('nonsense'), [401, 'token_invalid']);
    const token = await suite.cluster.token('alice');
    const { header, claims } = decode(token);
    assert.deepEqual(await refused(sign(claims, { kid: header.kid, secret: 'guessed' })), [401, 'token_invalid']);
    const key = suite.cluster.key('token');
    assert.deepEqual(await refused(sign({ ...claims, sub: 'system' }, key)), [401, 'token_invalid']);
    assert.deepEqual(await refused(sign({ sub: 'alice' }, key)), [401, 'token_invalid'], 'exp is required');
    assert.deepEqual(await refused(sign({ ...claims, sub: 'a b' }, key)), [401, 'token_invalid']);
  });

  test('a token that has expired', async () => {
    const token = sign({ sub: 'alice', exp: inSeconds(-60) }, suite.cluster.key('token'));
    assert.deepEqual(await refused(token), [401, 'token_expired']);
  });

  test("a device that is not the token's", async () => {
    const token = await suite.cluster.token('alice', { device: 'phone' });
    assert.deepEqual(await refused(token, { device: 'tablet' }), [403, 'device_mismatch']);
    const { body } = await askTicket(suite.cluster, token);
    assert.equal(decode(body.ticket).claims.dev, 'phone');
  });

  test('bodies that are not understood or too large', async () => {
    const token = await suite.cluster.token('alice');
    for (const body of ['{', '[]', '{"device":"a b"}', '{"device":7}', '{"avoid":"spear-1"}']) {
      assert.deepEqual(await refused(token, body), [400, 'bad_request'], body);
    }
    assert.deepEqual(await refused(token, 'x'.repeat(100_000)), [413, 'too_large']);
  });

  test('one for whom no spear is left', async () => {
    const token = await suite.cluster.token('alice');
    assert.deepEqual(await refused(token, { avoid: ['spear-1', 'spear-2'] }), [503, 'no_spear']);
  });

  test('one who asks too often, and says when to ask again', async () => {
    const token = await suite.cluster.token(unique('hasty'));
    let last;
    for (let asked = 0; asked < 200 && last?.status !== 429; asked += 1) last = await askTicket(suite.cluster, token);
    assert.deepEqual([last.status, last.body.code], [429, 'rate_limited']);
    assert.ok(Number(last.headers.get('retry-after')) >= 1);
  });

  test('one who is banned, and ends the connections that they have', async () => {
    const user = unique('mallory');
    const token = await suite.cluster.token(user);
    const clients = [];
    for (const [device, avoid] of [['phone', []], ['tablet', ['spear-1']], ['desk', ['spear-2']]]) {
      clients.push(await Client.connect(suite.cluster, user, { device, avoid }));
    }
    // Whoever holds a ticket already does not get in with it either.
    const { body: early } = await askTicket(suite.cluster, token, { device: 'late' });
    assert.equal((await suite.cluster.stat('PUT', `/v1/users/${user}/ban`)).status, 204);
    for (const client of clients) {
      assert.deepEqual(await client.event('kicked'), { reason: 'banned', reconnect: false });
      await client.ended();
    }
    assert.deepEqual(await refused(token), [403, 'banned']);
    const late = open(early.spear.url, early.ticket);
    const events = [];
    late.onAny((name, payload) => events.push([name, payload]));
    let ended = false;
    late.on('disconnect', () => (ended = true));
    await until(() => ended, 10_000, 'the late one is turned away');
    assert.deepEqual(events, [['kicked', { reason: 'banned', reconnect: false }]]);
    late.disconnect();

    assert.equal((await suite.cluster.stat('DELETE', `/v1/users/${user}/ban`)).status, 204);
    await Client.connect(suite.cluster, user);
  });

  test('a dev token for a reserved or impossible name, and any where the cluster is not embedded', async () => {
    for (const user of EMBEDDED ? ['system', 'a b'] : ['alice']) {
      const response = await fetch(`${suite.cluster.ticketUrl}/dev/token`, { method: 'POST', body: JSON.stringify({ user }) });
      assert.equal(response.status, EMBEDDED ? 400 : 404, user);
    }
  });

  test('nothing that is right: also the simplest client gets a ticket', async () => {
    const token = await suite.cluster.token('alice');
    const response = await fetch(`${suite.cluster.ticketUrl}/v1/tickets?token=${token}&device=tv`);
    const body = await response.json();
    assert.equal(response.status, 200);
    assert.deepEqual(Object.keys(body).sort(), ['alternates', 'expires_at', 'spear', 'ticket']);
    assert.ok(body.expires_at > Date.now());
    assert.equal(body.alternates.length, 1);
    assert.notEqual(body.alternates[0].spear.id, body.spear.id);
  });
});

describe('spear refuses', () => {
  const suite = withCluster();

  const codeOf = async (url, ticket, options) => (await refusalOf(url, ticket, options)).code;

  /** A ticket for alice, and one like it with other claims, signed with the cluster's own key. */
  async function ticketAnd(change) {
    const given = await ticketFor(suite.cluster, unique('alice'));
    const { header, claims } = decode(given.ticket);
    const key = suite.cluster.key('ticket');
    return [given, sign({ ...claims, ...change(claims) }, key, header)];
  }

  test('a connection without a ticket, or with one that is not ours', async () => {
    const { spear, ticket } = await ticketFor(suite.cluster, unique('u'));
    assert.equal(await codeOf(spear.url), 'ticket_missing');
    assert.equal(await codeOf(spear.url, 'nonsense'), 'ticket_invalid');
    const { header, claims } = decode(ticket);
    assert.equal(await codeOf(spear.url, sign(claims, { kid: header.kid, secret: 'x' }, header)), 'ticket_invalid');
    const token = await suite.cluster.token('alice');
    assert.equal(await codeOf(spear.url, token), 'ticket_invalid', 'a token is no ticket');
  });

  test('over long-polling too', async () => {
    const { spear } = await ticketFor(suite.cluster, unique('u'));
    assert.equal(await codeOf(spear.url, 'nonsense', { transports: ['polling'] }), 'ticket_invalid');
  });

  test('a ticket that is too old', async () => {
    const [given, expired] = await ticketAnd(() => ({ exp_ms: Date.now() - 1 }));
    assert.equal(await codeOf(given.spear.url, expired), 'ticket_expired');
  });

  test('a ticket that was used', async () => {
    const given = await ticketFor(suite.cluster, unique('u'));
    const client = await Client.withTicket(given, 'alice');
    assert.equal(await codeOf(given.spear.url, given.ticket), 'ticket_used');
    assert.equal(client.disconnected, undefined, 'the one who used it stays');
  });

  test('a ticket for another spear, or for an earlier start of this one', async () => {
    const [given, earlier] = await ticketAnd((claims) => ({ inc: claims.inc - 1 }));
    assert.equal(await codeOf(given.alternates[0].spear.url, given.ticket), 'wrong_node');
    assert.equal(await codeOf(given.spear.url, earlier), 'wrong_node');
  });

  test('nothing of an alternate: its ticket works at once', async () => {
    const [alternate] = (await ticketFor(suite.cluster, 'alice')).alternates;
    const client = await Client.withTicket(alternate, 'alice');
    assert.equal(client.ready.node, alternate.spear.id);
  });
});

test('a full spear refuses as overloaded, and avoid leads elsewhere', async (t) => {
  const cluster = await Cluster.start({ env: { PHALANX__SPEAR__MAX_CONNECTIONS: '1' } });
  t.after(() => cluster.dispose({ failed: t.passed === false }));
  const first = await Client.connect(cluster, 'alice', { device: 'one' });
  const ticket = await ticketFor(cluster, 'alice', { device: 'two' });
  assert.equal((await refusalOf(ticket.spear.url, ticket.ticket)).code, 'overloaded');
  const second = await Client.connect(cluster, 'alice', { device: 'two', avoid: [first.node] });
  assert.notEqual(second.node, first.node);
  first.close();
  await until(
    async () => {
      const again = await ticketFor(cluster, 'alice', { device: 'three' });
      return Client.withTicket(again, 'alice');
    },
    10_000,
    'there is room again once the first one has left',
  );
});

test('a draining spear says so, lets its clients finish, and the process exits with 0', async (t) => {
  const cluster = await Cluster.start();
  t.after(() => cluster.dispose({ failed: t.passed === false }));
  const [alice, late] = [await Client.connect(cluster, 'alice'), await ticketFor(cluster, 'alice', { device: 'late' })];
  cluster.signal('SIGTERM');
  const { after_ms } = await alice.event('migrate');
  assert.ok(after_ms > 0);
  assert.equal((await refusalOf(late.spear.url, late.ticket)).code, 'draining');
  const sent = await alice.sendTo('bob', 'my last words');
  assert.equal(sent.seq, 1);
  alice.close();
  assert.deepEqual(await cluster.exited(), { code: 0, signal: null });
});

test('a drain ends in bounded time though clients stay, and a restart finds everything', async (t) => {
  const cluster = await Cluster.start({ env: { PHALANX__SPEAR__DRAIN_TIMEOUT_MS: '2000' } });
  t.after(() => cluster.dispose({ failed: t.passed === false }));
  const alice = await Client.connect(cluster, 'alice');
  await alice.sendTo('bob', 'hello');
  await cluster.stop();
  assert.ok(await alice.ended());
  await cluster.launch();
  const bob = await Client.connect(cluster, 'bob');
  assert.equal((await bob.receives('u:alice:bob', 1))[0].body, 'hello');
});
