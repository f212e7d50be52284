// What a back end does to those who are connected: kicks, messages to everybody; and the scopes of its keys.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Client, usersOnDifferentSpears } from '../support/client.mjs';
import { API_KEY } from '../support/profile.mjs';
import { unique, withCluster } from '../support/suite.mjs';
import { until } from '../support/wait.mjs';

const READER = 'a-key-of-a-back-end-that-reads';
const suite = withCluster({
  env: {
    PHALANX__STAT__API_KEYS: JSON.stringify([
      { name: 'everything', key: `${API_KEY}-of-these-tests`, scopes: ['read', 'send', 'manage'] },
      { name: 'reader', key: READER, scopes: ['read'] },
    ]),
  },
});
const KEY = `${API_KEY}-of-these-tests`;

/** A call with a key; answers `{status, body}`. */
async function call(method, path, body, { key = KEY, base = 50100 } = {}) {
  const response = await fetch(suite.cluster.url(base) + path, {
    method,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, body: text ? JSON.parse(text) : undefined };
}

async function pair() {
  const users = Object.values(await usersOnDifferentSpears(suite.cluster, unique('u')));
  return Promise.all(users.map((user) => Client.connect(suite.cluster, user)));
}

test('a key does what its scopes say, on every stat node', async () => {
  const user = unique('u');
  for (const base of [50100, 50101]) {
    const reader = { key: READER, base };
    assert.equal((await call('GET', '/v1/totals', undefined, reader)).status, 200);
    const refused = await call('POST', '/v1/messages', { to: { user }, body: 1 }, reader);
    assert.equal(refused.status, 403);
    assert.deepEqual([refused.body.code, refused.body.detail], ['forbidden', 'the API key reader does not have the scope send']);
    assert.equal((await call('PUT', `/v1/users/${user}/ban`, undefined, reader)).status, 403);
    assert.equal((await call('POST', '/v1/messages', { to: { user }, body: 1 }, { base })).status, 200);
  }
});

test('a back end kicks a user from whichever spear, and they may come back', async () => {
  const [alice, bob] = await pair();
  const tablet = await Client.connect(suite.cluster, bob.user, { device: 'tablet', avoid: [bob.node] });
  const { status, body } = await call('POST', `/v1/users/${bob.user}/kick`, { reason: 'the password was changed' });
  assert.deepEqual([status, body], [200, { devices: ['default', 'tablet'] }]);
  for (const client of [bob, tablet]) {
    const told = await client.event('kicked');
    assert.deepEqual(told, { reason: 'admin', reconnect: true, message: 'the password was changed' });
    await client.ended();
  }
  await alice.sendTo(bob.user, 'meanwhile');
  const again = await Client.connect(suite.cluster, bob.user);
  assert.equal(again.ready.resumed, true);
  await until(() => again.messages.some((message) => message.body === 'meanwhile'), 10_000, 'nothing was missed');
  assert.equal(alice.disconnected, undefined);
});

test('of a user with several devices one can be kicked, and without a body nothing is said', async () => {
  const [, bob] = await pair();
  const tablet = await Client.connect(suite.cluster, bob.user, { device: 'tablet' });
  const { body } = await call('POST', `/v1/users/${bob.user}/kick`, { device: 'tablet' });
  assert.deepEqual(body, { devices: ['tablet'] });
  assert.deepEqual(await tablet.event('kicked'), { reason: 'admin', reconnect: true });
  await tablet.ended();
  const nobody = await fetch(`${suite.cluster.statUrl}/v1/users/${unique('nobody')}/kick`, {
    method: 'POST',
    headers: { authorization: `Bearer ${KEY}` },
  });
  assert.deepEqual([nobody.status, await nobody.json()], [200, { devices: [] }]);
  const untyped = await fetch(`${suite.cluster.statUrl}/v1/users/${bob.user}/kick`, {
    method: 'POST',
    headers: { authorization: `Bearer ${KEY}` },
    body: new TextEncoder().encode('{"device": "tablet"}'),
  });
  assert.equal(untyped.status, 415, 'a body of an unknown kind is not none');
  assert.equal(bob.disconnected, undefined);
});

test('a message to everybody reaches every connection on every spear, and is stored nowhere', async () => {
  const clients = (await Promise.all([pair(), pair(), pair()])).flat();
  const tablet = await Client.connect(suite.cluster, clients[0].user, { device: 'tablet', avoid: [clients[0].node] });
  const body = { text: unique('maintenance at ten') };
  const sent = await call('POST', '/v1/messages', { to: { all: true }, type: 'notice', body });
  assert.equal(sent.status, 200, JSON.stringify(sent.body));
  const { id, sent_at } = sent.body;
  assert.deepEqual(Object.keys(sent.body).sort(), ['id', 'sent_at']);
  const fits = (message) => message.id === id;
  for (const client of [...clients, tablet]) {
    const message = await client.event('message', fits);
    assert.deepEqual(message, { conversation: 'all', id, from: 'system', to: { all: true }, type: 'notice', body, sent_at });
  }
  const later = await Client.connect(suite.cluster, unique('later'));
  await later.sendTo(later.user, 'something');
  const again = await Client.connect(suite.cluster, clients[1].user);
  await again.sendTo(again.user, 'something');
  for (const client of [later, again]) assert.equal(client.messages.some(fits), false, 'it is not given again');
  const each = [...clients, tablet].map((client) => client.messages.filter(fits).length);
  assert.deepEqual(each, each.map(() => 1));
});

test('messages to everybody arrive in the order in which they were answered', async () => {
  const clients = await pair();
  const type = unique('order');
  for (let number = 0; number < 20; number += 1) {
    assert.equal((await call('POST', '/v1/messages', { to: { all: true }, type, body: number })).status, 200);
  }
  for (const client of clients) {
    const got = () => client.messages.filter((message) => message.type === type).map((message) => message.body);
    await until(() => got().length >= 20, 10_000, `${client.user} has all, got ${got()}`);
    assert.deepEqual(got(), Array.from({ length: 20 }, (_, number) => number));
  }
});
