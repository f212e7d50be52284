// Socket.IO 5: a packet that is none closes the session, and only that session.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CALM, withEcho } from './support/echo.mjs';
import { echoes, isClosed, join, OPENERS, sendFatal } from './support/session.mjs';

const suite = withEcho(CALM);

const NESTED = 100_000;

// Engine.IO is the first character: what is wrong is the Socket.IO packet after it.
const FATAL = [
  '4abc', '49', '47', '4-', '4 2["message","x"]', '4',
  '42{}', '42[]', '42"message"', '42null', '42[null]', '42[{}]', '42[["message"]]', '42[true]',
  '42["message"', '42["message",]', '42["message"]]', '42["message"] 1', "42['message']",
  '42["message",NaN]', '42["message",01]', '42["message","\u0001"]',
  '42abc["message-with-ack",1]', '42-1["message-with-ack",1]', '421.5["message-with-ack",1]', '421e3["message-with-ack",1]',
  '43{}', '430{}', '430"x"', '430[', '43x[]',
  '41{}', '41[]', '41"bye"',
];

// What the official server lets pass: an event without a name or with a number for it, an acknowledgement without its own, and
// numbers beyond 64 bits, which it rounds.
const FATAL_IF_STRICT = [
  '42', '427', '42[1]', '42[1,"message"]',
  '43["no number"]', '43', '430',
  '42184467440737095516160["message-with-ack",1]', `42${'9'.repeat(400)}["message-with-ack",1]`,
];

for (const [transport, open] of Object.entries(OPENERS)) {
  const isFatal = async (packet) => {
    const [session, other] = [await open(suite.echo), await open(suite.echo)];
    await Promise.all([join(session), join(other)]);
    await sendFatal(session, packet);
    await isClosed(session);
    await echoes(other);
  };

  for (const packet of FATAL) {
    test(`${transport}: ${JSON.stringify(packet)} closes the session`, () => isFatal(packet));
  }

  for (const packet of FATAL_IF_STRICT) {
    test(`${transport}: ${JSON.stringify(packet.slice(0, 60))} closes the session`, async (t) => {
      if (suite.claims(t, 'strict', 'the official server ignores it, or takes it for something')) await isFatal(packet);
    });
  }

  for (const [what, packet] of Object.entries({
    'an array in an array': `42["message",${'['.repeat(NESTED)}${']'.repeat(NESTED)}]`,
    'an object in an object': `42["message",${'{"a":'.repeat(NESTED)}1${'}'.repeat(NESTED)}]`,
  })) {
    test(`${transport}: ${what}, ${NESTED} deep, harms nobody else`, async (t) => {
      if (!suite.claims(t, 'strict', 'the official server reads it, and ends where it writes it')) return;
      await isFatal(packet);
    });
  }

  test(`${transport}: arrays without an end, ${NESTED} deep, close the session`, () => isFatal(`42["message",${'['.repeat(NESTED)}`));

  test(`${transport}: names that are reserved do not reach the server's handlers`, async () => {
    for (const name of ['connect', 'connect_error', 'disconnect', 'disconnecting']) {
      const session = await open(suite.echo);
      await join(session);
      await sendFatal(session, `42${JSON.stringify([name, 'forged'])}`);
      // Closed or ignored: either is fine, as long as the session is what it says that it is.
      const alive = await Promise.race([session.over.then(() => false), echoes(session).then(() => true, () => false)]);
      if (!alive) await isClosed(session);
    }
    const other = await open(suite.echo);
    await join(other);
    await echoes(other);
  });
}

test('a server that has closed a session tells it so', async () => {
  const session = await OPENERS.polling(suite.echo);
  await join(session);
  await sendFatal(session, '4abc');
  assert.ok(['close', 400].includes(await session.over));
  const socket = await OPENERS.websocket(suite.echo);
  await join(socket);
  await sendFatal(socket, '4abc');
  assert.notEqual(await socket.over, 1006, 'the WebSocket was cut instead of closed');
});
