// A client that does not read: the heartbeat closes it in time, its bytes are let go, another client does not notice.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { within } from '../support/wait.mjs';
import { withEcho } from './support/echo.mjs';
import { PollingSession } from './support/polling.mjs';
import { RawSession } from './support/raw.mjs';
import { afterPings, goodbyeOf, join } from './support/session.mjs';
import { talker } from './support/talker.mjs';

const INTERVAL_MS = 500;
const TIMEOUT_MS = 4_000;
// By then a client that answers nothing is over: twice the time that it has.
const PINGS = (2 * (INTERVAL_MS + TIMEOUT_MS)) / INTERVAL_MS;
const SLACK_MS = 10_000;
// A burst is 1.7 MB; together they are more than the system takes for a connection that nobody reads (4 MB).
const MANY = 100_000;
const BURSTS = 5;

const suite = withEcho({ pingIntervalMs: INTERVAL_MS, pingTimeoutMs: TIMEOUT_MS });

test('a WebSocket that is not read is closed in time', async (t) => {
  const other = await talker(suite.echo);
  const stalled = await RawSession.open(suite.echo);
  await join(stalled);
  stalled.socket.pause();
  for (let burst = 0; burst < BURSTS; burst += 1) await stalled.send(`42["many",${MANY}]`);
  await afterPings(suite.echo, PINGS);
  await other.stop();
  if (suite.echo.claims.farewell) assert.equal(await goodbyeOf(suite.echo, stalled.id, SLACK_MS), 'ping_timeout');

  // Reading again does not bring it back: what the system still holds comes, and the end.
  stalled.socket.resume();
  await within(stalled.over, SLACK_MS, 'the connection has ended');
  const events = await countEvents(stalled);
  if (!suite.claims(t, 'strict', 'the official server keeps the bytes of a closed connection until they are read')) return;
  assert.ok(events < BURSTS * MANY, 'everything was kept for a client that was closed');
});

test('a session that is not polled is closed in time', async () => {
  const other = await talker(suite.echo);
  const stalled = await PollingSession.start(suite.echo);
  await join(stalled);
  const paused = stalled.pause();
  await stalled.send(`42["many",${MANY}]`);
  await paused;
  await afterPings(suite.echo, PINGS);
  await other.stop();
  assert.equal((await stalled.get()).status, 400);
  assert.equal((await stalled.post('3')).status, 400);
});

test('50 clients that do not read do not hold up one that does', async () => {
  const other = await talker(suite.echo);
  const stalled = await Promise.all(
    Array.from({ length: 50 }, async () => {
      const session = await RawSession.open(suite.echo);
      await join(session);
      session.socket.pause();
      await session.send(`42["many",${MANY / 50}]`);
      return session;
    }),
  );
  await afterPings(suite.echo, PINGS);
  await other.stop();
  for (const session of stalled) session.socket.resume();
  await within(Promise.all(stalled.map(({ over }) => over)), SLACK_MS, 'all have ended');
});

/** How many events came until the connection ended. */
async function countEvents(session) {
  let events = 0;
  for (;;) {
    const packet = await session.next().catch(() => '');
    if (packet === '') return events;
    if (packet.startsWith('42["one"')) events += 1;
  }
}
