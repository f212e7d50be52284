// Engine.IO 3: a client that does not ping within interval and timeout together is gone.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { withEcho } from './support/echo.mjs';
import { PollingSession } from './support/polling.mjs';
import { echoes, isClosed, isUnknown, join, OPENERS } from './support/session.mjs';
import { WebSocketSession } from './support/websocket.mjs';

const suite = withEcho();

const SILENCE_MS = 300 + 2_000;
const EARLY_MS = 50;
const SLACK_MS = 2_000;

for (const [transport, open] of Object.entries(OPENERS)) {
  test(`${transport}: who never pings is closed in time`, async () => {
    const start = performance.now();
    const session = await open(suite.echo, { eio: 3 });
    await join(session);
    await isClosed(session);
    const took = performance.now() - start;
    assert.ok(took > SILENCE_MS - EARLY_MS && took < SILENCE_MS + SLACK_MS, `closed after ${took} ms`);
  });

  test(`${transport}: who pings is kept`, async () => {
    const session = await open(suite.echo, { eio: 3 });
    await join(session);
    // The clock is another session of this server that is kept by answering: nine of its pings are longer than the silence.
    const clock = await WebSocketSession.open(suite.echo);
    await join(clock);
    clock.answers = false;
    for (let pings = 0; pings < 9; pings += 1) {
      assert.equal(await clock.next(), '2');
      await clock.send('3');
      await session.send('2');
      assert.equal(await session.next(), '3');
    }
    await echoes(session);
  });
}

test('a session that nobody polls is forgotten in time', async () => {
  const start = performance.now();
  const session = await PollingSession.open(suite.echo, { eio: 3 });
  // Its polls end the wait: the last one is refused, or answered with a close packet.
  while ((await session.get()).status === 200);
  await isUnknown(suite.echo, session);
  assert.ok(performance.now() - start < SILENCE_MS + SLACK_MS);
});

test('the server does not ping', async (t) => {
  if (!suite.claims(t, 'exact', 'engineioxide pings whichever the version')) return;
  const session = await WebSocketSession.open(suite.echo, { eio: 3 });
  await join(session);
  await isClosed(session);
  await assert.rejects(session.next(), /closed/);
});
