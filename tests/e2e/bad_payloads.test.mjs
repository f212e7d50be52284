// What cannot be done is answered with a code, and the connection stays usable.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { WebSocket } from 'ws';

import { Client, ticketFor } from '../support/client.mjs';
import { unique, withCluster } from '../support/suite.mjs';
import { until, within } from '../support/wait.mjs';

const suite = withCluster();

const LIMIT = 64 * 1024;

async function codeOf(client, event, payload) {
  const answer = await client.ask(event, payload);
  assert.equal(answer.ok, false, `${event} ${JSON.stringify(payload)?.slice(0, 80)} was taken`);
  assert.ok(answer.error.message);
  return answer.error.code;
}

test('payloads that are not understood are refused one by one', async () => {
  const client = await Client.connect(suite.cluster, unique('u'));
  const to = { user: 'bob' };
  const bad = [
    ['send', null],
    ['send', 'text'],
    ['send', []],
    ['send', {}],
    ['send', { to }],
    ['send', { body: 1 }],
    ['send', { to: 'bob', body: 1 }],
    ['send', { to: {}, body: 1 }],
    ['send', { to: { user: 'a b' }, body: 1 }],
    ['send', { to: { user: '' }, body: 1 }],
    ['send', { to: { user: 'x'.repeat(65) }, body: 1 }],
    ['send', { to: { user: 'bob', group: 'g' }, body: 1 }],
    ['send', { to, body: 1, cid: 7 }],
    ['send', { to, body: 1, cid: 'x'.repeat(65) }],
    ['send', { to, body: 1, type: 'x'.repeat(65) }],
    ['ack', { conversation: 'nothing', seq: 1 }],
    ['ack', { conversation: 'u:a:b', seq: -1 }],
    ['ack', { conversation: 'u:a:b', seq: '1' }],
    ['sync', { conversation: 'u:b:a' }],
    ['sync', {}],
    ['sync', { conversation: 'g:g', limit: 'all' }],
    ['conversations', { cursor: 'nonsense' }],
    ['conversations', { limit: -1 }],
    ['no-such-event', {}],
  ];
  for (const [event, payload] of bad) {
    const code = await codeOf(client, event, payload);
    assert.ok(['bad_request', 'too_large'].includes(code), `${event} ${JSON.stringify(payload)}: ${code}`);
  }
  assert.equal((await client.sendTo('bob', 'still here')).ok, true);
});

test('a body at the limit is taken, one beyond it is too large', async () => {
  const client = await Client.connect(suite.cluster, unique('u'));
  const bob = unique('bob');
  // Two bytes of the limit are the quotes.
  assert.equal((await client.sendTo(bob, 'x'.repeat(LIMIT - 2))).seq, 1);
  assert.equal(await codeOf(client, 'send', { to: { user: bob }, body: 'x'.repeat(LIMIT) }), 'too_large');
  assert.equal((await client.sendTo(bob, 'still here')).seq, 2);
});

test('what is far too large ends its own connection only', async () => {
  const [alice, bob] = [await Client.connect(suite.cluster, unique('u')), await Client.connect(suite.cluster, unique('u'))];
  alice.ask('send', { to: { user: bob.user }, body: 'x'.repeat(4 * 1024 * 1024) }, 1_000).catch(() => {});
  await alice.ended();
  assert.equal((await bob.sendTo(alice.user, 'are you there?')).seq, 1);
  assert.equal(bob.disconnected, undefined);
});

test('binary is refused with a code', async () => {
  const client = await Client.connect(suite.cluster, unique('u'));
  assert.equal(await codeOf(client, 'send', { to: { user: 'bob' }, body: Buffer.from('abc') }), 'bad_request');
  assert.equal((await client.sendTo(unique('u'), 'still here')).seq, 1);
});

test('an event without a callback is done without an answer', async () => {
  const [alice, bob] = [await Client.connect(suite.cluster, unique('u')), await Client.connect(suite.cluster, unique('u'))];
  alice.socket.emit('send', { to: { user: bob.user }, body: 'no answer needed' });
  await until(() => bob.messages.length === 1, 10_000, 'the message comes');
});

test('frames that are no socket.io end their own connection only', async () => {
  const witness = await Client.connect(suite.cluster, unique('u'));
  const url = (await ticketFor(suite.cluster, witness.user)).spear.url.replace('http', 'ws');
  const garbage = [
    '4', '49', '42', '42[', '42["send"', '42{}', '4299999999999999999999["send"]', '451-["x"]', 'zzz', '\u0000', '4'.repeat(1000),
    `42["send",${'['.repeat(10_000)}`,
  ];
  for (const frame of garbage) {
    const socket = await plainSocket(`${url}/socket.io/?EIO=4&transport=websocket`);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.send('40{}');
    socket.send(frame);
    socket.close();
    await within(closed, 10_000, `the socket closes after ${JSON.stringify(frame.slice(0, 40))}`);
  }
  assert.equal((await witness.sendTo(unique('u'), 'still here')).seq, 1);
});

/** A plain WebSocket, open. */
async function plainSocket(url) {
  const socket = new WebSocket(url);
  const opened = new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
  await within(opened, 10_000, 'the socket opens');
  return socket;
}
