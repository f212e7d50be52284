// Socket.IO 5: who does not join in time is closed; who has joined is kept.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { withEcho } from './support/echo.mjs';
import { isClosed, join, OPENERS } from './support/session.mjs';

const suite = withEcho();

const CONNECT_MS = 3_000;
const EARLY_MS = 50;
const SLACK_MS = 2_000;

for (const [transport, open] of Object.entries(OPENERS)) {
  test(`${transport}: who does not join is closed in time, though it answers pings`, async () => {
    const start = performance.now();
    const session = await open(suite.echo);
    await isClosed(session);
    const took = performance.now() - start;
    assert.ok(took > CONNECT_MS - EARLY_MS && took < CONNECT_MS + SLACK_MS, `closed after ${took} ms`);
  });

  test(`${transport}: asking for an unknown namespace is not joining`, async () => {
    const start = performance.now();
    const session = await open(suite.echo);
    await session.send('40/random,');
    assert.match(await session.next(), /^44\/random,/);
    await isClosed(session);
    const took = performance.now() - start;
    assert.ok(took > CONNECT_MS - EARLY_MS && took < CONNECT_MS + SLACK_MS, `closed after ${took} ms`);
  });
}

test('heartbeats go on after leaving', async (t) => {
  if (!suite.claims(t, 'exact', 'the session of engineioxide ends with the leaving')) return;
  const session = await OPENERS.websocket(suite.echo);
  await join(session);
  await session.send('41');
  session.answers = false;
  assert.equal(await session.next(), '2');
  await session.send('3');
  assert.equal(await session.next(), '2');
});

test('protocol 3 has joined by itself, and is kept beyond the time to connect', async () => {
  const start = performance.now();
  const session = await OPENERS.websocket(suite.echo, { eio: 3 });
  await join(session);
  // The pings of a session of protocol 4 are the clock.
  const clock = await OPENERS.websocket(suite.echo);
  await join(clock);
  clock.answers = false;
  while (performance.now() - start < CONNECT_MS + SLACK_MS / 4) {
    assert.equal(await clock.next(), '2');
    await clock.send('3');
    await session.send('2');
    assert.equal(await session.next(), '3');
  }
});
