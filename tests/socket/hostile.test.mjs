// Peers that hold what they got and give nothing: each is let go in time, and others do not notice.

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';

import { within } from '../support/wait.mjs';
import { CALM, Echo, withEcho } from './support/echo.mjs';
import { noteSession } from './support/open.mjs';
import { PollingSession } from './support/polling.mjs';
import { RawSession } from './support/raw.mjs';
import { echoes, isUnknown, join } from './support/session.mjs';
import { WebSocketSession } from './support/websocket.mjs';

const CONNECT_MS = 1_000;
const suite = withEcho({ ...CALM, connectTimeoutMs: CONNECT_MS });

const EARLY_MS = 50;
// 1,000 of them take a while to be opened and counted on a small machine.
const SLACK_MS = 5_000;

/** `count` things, at most `atOnce` under way. */
async function several(count, atOnce, make) {
  const made = [];
  let next = 0;
  const worker = async () => {
    for (let number = next++; number < count; number = next++) made[number] = await make(number);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return made;
}

/** A TCP connection that writes this, and nothing more. `over` resolves once it has ended. */
async function tcp(bytes = '') {
  const socket = connect(suite.echo.port, '127.0.0.1');
  socket.on('error', () => {});
  socket.resume();
  const over = new Promise((resolve) => socket.once('close', resolve));
  noteSession({ close: () => socket.destroy() });
  await new Promise((resolve) => socket.once('connect', resolve));
  if (bytes) await new Promise((resolve) => socket.write(bytes, resolve));
  return { socket, over };
}

async function witness(echo = suite.echo) {
  const session = await WebSocketSession.open(echo);
  await join(session);
  return session;
}

test('1,000 WebSockets that never join are closed in time, and one that has joined is not', async () => {
  const joined = await witness();
  const opened = await several(1_000, 50, async () => {
    const start = performance.now();
    const session = await RawSession.open(suite.echo);
    return { session, took: session.over.then(() => performance.now() - start) };
  });
  const took = await within(Promise.all(opened.map((one) => one.took)), CONNECT_MS + SLACK_MS, 'all are closed');
  const early = took.filter((ms) => ms < CONNECT_MS - EARLY_MS).length;
  assert.equal(early, 0, `${early} were closed before their time`);
  await echoes(joined);
});

test('200 polling sessions that never join vanish in time', async () => {
  const joined = await witness();
  const sessions = await several(200, 20, () => PollingSession.open(suite.echo));
  await several(200, 20, (number) => isUnknown(suite.echo, sessions[number], CONNECT_MS + SLACK_MS));
  await echoes(joined);
});

test('200 polling sessions and half-done upgrades that answer no ping vanish in time', async (t) => {
  const echo = await Echo.start();
  t.after(() => echo.dispose());
  const joined = await witness(echo);
  const sockets = await several(200, 20, async () => {
    const { sid } = await PollingSession.open(echo);
    const socket = await WebSocketSession.open(echo, { sid });
    await socket.send('2probe');
    return socket;
  });
  await within(Promise.all(sockets.map(({ over }) => over)), CONNECT_MS + SLACK_MS, 'all are closed');
  await several(200, 20, (number) => isUnknown(echo, sockets[number], SLACK_MS));
  await echoes(joined);
});

test('1,000 connections that never ask for anything are closed in time', async (t) => {
  if (!suite.claims(t, 'http', 'this time is kept by the HTTP server below, and Node gives a minute')) return;
  const silent = await several(1_000, 50, () => tcp());
  await within(Promise.all(silent.map(({ over }) => over)), CONNECT_MS + SLACK_MS, 'all are closed');
});

test('requests that never end are cut in time', async (t) => {
  if (!suite.claims(t, 'http', 'this time is kept by the HTTP server below, and Node gives a minute')) return;
  const endless = await several(100, 20, () => tcp('GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: ech'));
  await within(Promise.all(endless.map(({ over }) => over)), CONNECT_MS + SLACK_MS, 'all are closed');
});

test('a header without an end is refused before it is kept', async () => {
  const { socket, over } = await tcp('GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\n');
  const line = Buffer.from(`X-Long: ${'x'.repeat(8_000)}\r\n`);
  let sent = 0;
  while (!socket.destroyed && sent < 8_000_000) {
    await Promise.race([new Promise((resolve) => socket.write(line, resolve)), over]);
    sent += line.length;
  }
  await within(over, SLACK_MS, 'the connection is cut');
  assert.ok(sent < 8_000_000, `${sent} bytes of header were taken`);
});

test('acknowledgements that nobody asked for, 100,000 of them, do no harm', async () => {
  const [flooder, other] = [await witness(), await witness()];
  for (let id = 0; id < 100_000; id += 1) flooder.socket.send(`43${id}[1]`);
  await echoes(other);
  await echoes(flooder);
});

test('questions that are never answered, 10,000 of them, do not hold up others', async () => {
  const [asker, other] = [await witness(), await witness()];
  for (let round = 0; round < 10_000; round += 1) asker.socket.send('42["ask"]');
  await echoes(other);
  // The server may give up on this one; it may not forget the questions that it has asked.
  const first = await asker.next();
  assert.match(first, /^42\d+\["question"/);
});

test('a session that is refused all the time costs nobody else', async () => {
  const other = await witness();
  for (let round = 0; round < 50; round += 1) {
    const bad = await WebSocketSession.open(suite.echo);
    await bad.send('4abc');
    await bad.over;
    await echoes(other);
  }
});
