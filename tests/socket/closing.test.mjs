// Engine.IO 4: a session that its client ends, by packet or by closing the WebSocket.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { within } from '../support/wait.mjs';
import { CALM, withEcho } from './support/echo.mjs';
import { ANSWER_MS } from './support/queue.mjs';
import { goodbyeOf, isClosed, join, OPENERS } from './support/session.mjs';
import { WebSocketSession } from './support/websocket.mjs';

const suite = withEcho(CALM);

test('a close packet over polling ends the session', async () => {
  const session = await OPENERS.polling(suite.echo);
  await join(session);
  await session.send('1');
  await isClosed(session);
});

test('a close packet over WebSocket ends the session', async (t) => {
  if (!suite.claims(t, 'strict', 'the official server leaves that to the heartbeat')) return;
  const session = await OPENERS.websocket(suite.echo);
  await join(session);
  await session.send('1');
  await isClosed(session);
});

test('a WebSocket that its client closes is closed in return', async () => {
  for (const joins of [true, false]) {
    const session = await WebSocketSession.open(suite.echo);
    if (joins) await join(session);
    session.socket.close(1000);
    assert.equal(await within(session.over, ANSWER_MS, 'the server closes too'), 1000);
  }
});

for (const [transport, open] of Object.entries(OPENERS)) {
  test(`${transport}: leaving the namespace is the client's goodbye`, async (t) => {
    if (!suite.claims(t, 'farewell', 'the server is to tell why')) return;
    const session = await open(suite.echo);
    await join(session);
    await session.send('41');
    assert.equal(await goodbyeOf(suite.echo, session.id), 'client_left');
  });

  test(`${transport}: a connection that just ends is no goodbye`, async (t) => {
    if (!suite.claims(t, 'farewell', 'the server is to tell why')) return;
    const session = await open(suite.echo);
    await join(session);
    await session.send('1').catch(() => {});
    await session.close();
    assert.equal(await goodbyeOf(suite.echo, session.id), 'transport_closed');
  });
}
