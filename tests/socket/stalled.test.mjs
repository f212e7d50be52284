// A client that does not read: the heartbeat closes it in time, its bytes are let go, another client does not notice.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { within } from '../support/wait.mjs';
import { withEcho } from './support/echo.mjs';
import { PollingSession } from './support/polling.mjs';
import { RawSession } from './support/raw.mjs';
import { echoes, isUnknown, join } from './support/session.mjs';
import { WebSocketSession } from './support/websocket.mjs';

const INTERVAL_MS = 500;
const TIMEOUT_MS = 500;
const SLACK_MS = 3_000;
// About 1.8 MB: more than the system takes for a connection that nobody reads.
const MANY = 100_000;

const suite = withEcho({ pingIntervalMs: INTERVAL_MS, pingTimeoutMs: TIMEOUT_MS });

/** Goes on talking to the server until `stop`, which fails if a round has ever taken longer than a heartbeat may. */
async function talker() {
  const session = await WebSocketSession.open(suite.echo);
  await join(session);
  let talking = true;
  let longest = 0;
  const done = (async () => {
    while (talking) {
      const start = performance.now();
      await echoes(session);
      longest = Math.max(longest, performance.now() - start);
    }
  })();
  return {
    stop: async () => {
      talking = false;
      await done;
      assert.ok(longest < INTERVAL_MS + TIMEOUT_MS, `the other client once waited ${longest} ms`);
    },
  };
}

test('a WebSocket that is not read is closed in time', async (t) => {
  const other = await talker();
  const stalled = await RawSession.open(suite.echo);
  await join(stalled);
  let events = 0;
  stalled.socket.pause();
  await stalled.send(`42["many",${MANY}]`);
  await isUnknown(suite.echo, stalled, INTERVAL_MS + TIMEOUT_MS + SLACK_MS);
  await other.stop();

  stalled.socket.resume();
  await within(stalled.over, SLACK_MS, 'the connection has ended');
  for (;;) {
    const packet = await stalled.next().catch(() => undefined);
    if (packet === undefined) break;
    if (packet.startsWith('42["one"')) events += 1;
  }
  if (!suite.claims(t, 'strict', 'the official server keeps the bytes of a closed connection until they are read')) return;
  assert.ok(events < MANY, 'everything was kept for a client that was closed');
});

test('a session that is not polled is closed in time', async () => {
  const other = await talker();
  const stalled = await PollingSession.start(suite.echo);
  await join(stalled);
  const paused = stalled.pause();
  await stalled.send(`42["many",${MANY}]`);
  await paused;
  await isUnknown(suite.echo, stalled, INTERVAL_MS + TIMEOUT_MS + SLACK_MS);
  await other.stop();
});

test('50 clients that do not read do not hold up one that does', async () => {
  const other = await talker();
  const stalled = await Promise.all(
    Array.from({ length: 50 }, async () => {
      const session = await RawSession.open(suite.echo);
      await join(session);
      session.socket.pause();
      await session.send(`42["many",${MANY / 50}]`);
      return session;
    }),
  );
  await Promise.all(stalled.map((session) => isUnknown(suite.echo, session, INTERVAL_MS + TIMEOUT_MS + 2 * SLACK_MS)));
  await other.stop();
});
