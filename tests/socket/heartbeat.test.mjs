// Engine.IO 4: the server asks, the client answers in time, or the session is over.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { withEcho } from './support/echo.mjs';
import { PollingSession } from './support/polling.mjs';
import { afterPings, echoes, isClosed, isUnknown, join, OPENERS } from './support/session.mjs';
import { WebSocketSession } from './support/websocket.mjs';

const suite = withEcho();

// A ping is due after 300 ms, its answer within 2 s more; what a busy machine adds is no fault of the server.
const INTERVAL_MS = 300;
const TIMEOUT_MS = 2_000;
const SLACK_MS = 2_000;
// Timers may fire a little early, and our clock starts a little late.
const EARLY_MS = 50;
// Of which the time is longer than a session has to join, or without an answer.
const KEPT_PINGS = 12;

test('a ping comes by polling, again after each answer', async (t) => {
  if (!suite.claims(t, 'exact', 'engineioxide pings at once, and then by its own clock')) return;
  const start = performance.now();
  const session = await PollingSession.open(suite.echo);
  for (let round = 0; round < 4; round += 1) {
    assert.deepEqual((await session.get()).packets, ['2']);
    assert.ok(performance.now() - start > (round + 1) * INTERVAL_MS - EARLY_MS, 'pings come too fast');
    assert.equal((await session.post('3')).body, 'ok');
    if (round === 0) await session.post('40');
    if (round === 0) assert.match((await session.get()).packets[0], /^40/);
  }
});

test('a ping comes by WebSocket, again after each answer', async () => {
  const start = performance.now();
  const session = await WebSocketSession.open(suite.echo);
  await join(session);
  session.answers = false;
  for (let round = 0; round < 4; round += 1) {
    assert.equal(await session.next(), '2');
    // The first one may come at once.
    assert.ok(performance.now() - start > round * INTERVAL_MS - EARLY_MS, 'pings come too fast');
    await session.send('3');
  }
});

test('who answers pings is kept beyond the time to connect and several heartbeats', async () => {
  for (const open of Object.values(OPENERS)) {
    const session = await open(suite.echo);
    await join(session);
    await afterPings(suite.echo, KEPT_PINGS);
    await echoes(session);
  }
});

test('a WebSocket that does not answer the ping is closed in time', async (t) => {
  if (!suite.claims(t, 'exact', 'engineioxide pings at once, and so closes an interval earlier')) return;
  const session = await WebSocketSession.open(suite.echo);
  session.answers = false;
  const start = performance.now();
  await isClosed(session);
  const took = performance.now() - start;
  assert.ok(took > INTERVAL_MS + TIMEOUT_MS - 2 * EARLY_MS, `closed after ${took} ms`);
  assert.ok(took < INTERVAL_MS + TIMEOUT_MS + SLACK_MS, `closed after ${took} ms`);
});

test('a polling session that does not answer the ping is closed in time, and refused then', async (t) => {
  if (!suite.claims(t, 'exact', 'engineioxide pings at once, and so closes an interval earlier')) return;
  const session = await PollingSession.open(suite.echo);
  const start = performance.now();
  assert.deepEqual((await session.get()).packets, ['2']);
  const last = await session.get();
  const took = performance.now() - start;
  // A poll that waits is answered with a close packet; one that comes too late is refused.
  if (last.status === 200) assert.deepEqual(last.packets, ['1']);
  else assert.equal(last.status, 400);
  assert.ok(took > INTERVAL_MS + TIMEOUT_MS - 2 * EARLY_MS, `closed after ${took} ms`);
  assert.ok(took < INTERVAL_MS + TIMEOUT_MS + SLACK_MS, `closed after ${took} ms`);
  assert.equal((await session.get()).status, 400);
  assert.equal((await session.post('3')).status, 400);
});

test('a polling session that nobody polls is forgotten in time', async () => {
  const { sid } = await PollingSession.open(suite.echo);
  await afterPings(suite.echo, KEPT_PINGS);
  await isUnknown(suite.echo, { sid }, SLACK_MS);
});

test('a WebSocket ping of the client is answered, and is no answer to ours', async () => {
  const session = await WebSocketSession.open(suite.echo);
  session.answers = false;
  const pongs = [];
  session.socket.on('pong', (data) => pongs.push(data.toString()));
  session.socket.ping('are you there?');
  session.socket.ping('');
  const more = setInterval(() => session.socket.ping('x'), 50);
  await isClosed(session).finally(() => clearInterval(more));
  assert.deepEqual(pongs.slice(0, 2), ['are you there?', '']);
});

test('a client of protocol 4 that pings is closed: heartbeats have one direction', async () => {
  for (const [transport, open] of Object.entries(OPENERS)) {
    const session = await open(suite.echo);
    await session.send('2').catch((error) => assert.match(error.message, /400|hang up|ECONNRESET/, transport));
    await isClosed(session);
  }
});
