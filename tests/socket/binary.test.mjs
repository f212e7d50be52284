// Socket.IO 5: binary packets, refused where the server takes none.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CALM, withEcho } from './support/echo.mjs';
import { echoes, isClosed, join, OPENERS } from './support/session.mjs';

const suite = withEcho(CALM);

const PLACEHOLDER = '{"_placeholder":true,"num":0}';
const BYTES = Buffer.from([1, 2, 3, 0xff]);

// How a transport carries an attachment.
const ATTACH = {
  polling: (session) => session.send(`b${BYTES.toString('base64')}`),
  websocket: (session) => session.send(BYTES),
};

const IS = {
  polling: (packet) => assert.equal(packet, `b${BYTES.toString('base64')}`),
  websocket: (packet) => assert.deepEqual(packet, BYTES),
};

for (const [transport, open] of Object.entries(OPENERS)) {
  const joined = async () => {
    const session = await open(suite.echo);
    await join(session);
    return session;
  };

  test(`${transport}: a binary event with an acknowledgement is refused by it, or echoed`, async () => {
    const session = await joined();
    await session.send(`451-7["message-with-ack",${PLACEHOLDER}]`);
    await ATTACH[transport](session);
    const answer = await session.next();
    if (suite.echo.claims.binary) {
      assert.equal(answer, `461-7[${PLACEHOLDER}]`);
      IS[transport](await session.next());
    } else {
      const [{ ok, error }] = JSON.parse(answer.replace(/^437/, ''));
      assert.deepEqual([ok, error.code], [false, 'bad_request']);
    }
    await echoes(session);
  });

  test(`${transport}: a binary event without an acknowledgement is ignored, or echoed`, async () => {
    const session = await joined();
    await session.send(`451-["message",${PLACEHOLDER}]`);
    await ATTACH[transport](session);
    if (suite.echo.claims.binary) {
      assert.equal(await session.next(), `451-["message-back",${PLACEHOLDER}]`);
      IS[transport](await session.next());
    }
    await echoes(session);
  });

  test(`${transport}: many binary events with several attachments leave the session as it was`, async () => {
    const session = await joined();
    for (let round = 0; round < 20; round += 1) {
      await session.send(`452-["nobody listens",${PLACEHOLDER},{"_placeholder":true,"num":1}]`);
      await ATTACH[transport](session);
      await ATTACH[transport](session);
    }
    await echoes(session);
  });

  test(`${transport}: a binary acknowledgement is taken for one, or ignored`, async () => {
    const session = await joined();
    await session.send(`461-999[${PLACEHOLDER}]`);
    await ATTACH[transport](session);
    await echoes(session);
  });

  for (const packet of ['45["message",1]', '45-["message",1]', '45x-["message",1]', '451["message",1]', '45', '451']) {
    test(`${transport}: ${packet} closes the session`, async () => {
      const session = await joined();
      await session.send(packet).catch((error) => assert.match(error.message, /400|hang up|ECONNRESET/));
      await isClosed(session);
    });
  }

  test(`${transport}: bytes that nobody announced harm nobody else`, async () => {
    const [session, other] = [await joined(), await joined()];
    await ATTACH[transport](session).catch((error) => assert.match(error.message, /400|hang up|ECONNRESET/));
    await echoes(other);
  });
}
