// Engine.IO 3, which clients v2 speak: lengths before packets, the client drives the heartbeat.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { until, within } from '../support/wait.mjs';
import { CALM, withEcho } from './support/echo.mjs';
import { endpoint, request } from './support/http.mjs';
import { decodePayload, encodeOctets } from './support/payload.mjs';
import { PollingSession } from './support/polling.mjs';
import { ANSWER_MS } from './support/queue.mjs';
import { echoes, eventOf, isClosed, isUnknown, join, message, OPENERS } from './support/session.mjs';
import { WebSocketSession } from './support/websocket.mjs';

const suite = withEcho(CALM);
const EIO = { eio: 3 };

test('the open packet over polling has its length before it', async () => {
  const { status, body } = await request(endpoint(suite.echo, { EIO: 3, transport: 'polling' }));
  assert.equal(status, 200);
  const [open] = decodePayload(3, body);
  assert.equal(open[0], '0');
  const { upgrades, pingInterval, pingTimeout } = JSON.parse(open.slice(1));
  assert.deepEqual([upgrades, pingInterval, pingTimeout], [['websocket'], 60_000, 60_000]);
});

for (const [transport, open] of Object.entries(OPENERS)) {
  test(`${transport}: the default namespace is joined by itself`, async () => {
    const session = await open(suite.echo, EIO);
    assert.deepEqual((await join(session)).sid, undefined);
    await echoes(session);
  });

  test(`${transport}: characters of every length come back`, async () => {
    const session = await open(suite.echo, EIO);
    await join(session);
    const texts = ['é', '€', '😀', '👩‍👩‍👧‍👧', 'a😀b€c', '\u2028\u2029', '1:2', '\x1e', '"\\', ''];
    for (const text of texts) await echoes(session, text);
  });

  test(`${transport}: acknowledgements carry their number`, async () => {
    const session = await open(suite.echo, EIO);
    await join(session);
    await session.send('4212["message-with-ack","a",{"b":[2]}]');
    assert.equal(await session.next(), '4312["a",{"b":[2]}]');
  });

  test(`${transport}: a ping is answered`, async () => {
    const session = await open(suite.echo, EIO);
    await join(session);
    for (let round = 0; round < 3; round += 1) {
      await session.send('2');
      assert.equal(await session.next(), '3');
    }
    await echoes(session);
  });

  test(`${transport}: a client that answers what nobody asked is closed`, async (t) => {
    if (!suite.claims(t, 'exact', 'engineioxide lets that pass')) return;
    const session = await open(suite.echo, EIO);
    await join(session);
    await session.send('3').catch((error) => assert.match(error.message, /400|hang up|ECONNRESET/));
    await isClosed(session);
  });
}

test('a length counts UTF-16 units, both ways', async () => {
  const session = await PollingSession.open(suite.echo, EIO);
  // Joined and told: with the handshake or by the next polls.
  let packets = session.waiting;
  while (packets < 2) packets += (await session.get()).packets.length;
  const packet = message('😀é');
  assert.equal(packet.length, '42["message","😀é"]'.length);
  assert.equal((await session.postBody(`${packet.length}:${packet}`)).body, 'ok');
  assert.equal((await session.get()).body, '24:42["message-back","😀é"]');
});

test('several packets in one body are taken in order', async () => {
  const session = await PollingSession.start(suite.echo, EIO);
  await join(session);
  const words = ['a', '😀', 'b€', '4:', 'é'];
  assert.equal((await session.post(...words.map((word) => message(word)))).body, 'ok');
  for (const word of words) assert.deepEqual(eventOf(await session.next()), ['message-back', word]);
});

for (const [what, body] of Object.entries({
  'no length': '42["message"]',
  'a length that is too long': '100:42["message","a"]',
  'a length that cuts the packet': '5:42["message","a"]',
  'a length that is no number': 'x:42["message","a"]',
  'a negative length': '-1:42["message","a"]',
  'a huge length': `${'9'.repeat(400)}:42["message","a"]`,
  'a length without a packet': '3',
  'an unknown type': '1:9',
  'nothing': '',
})) {
  test(`a body with ${what} ends the session`, async (t) => {
    if (what === 'nothing' && !suite.claims(t, 'exact', 'engineioxide lets that pass')) return;
    const session = await PollingSession.start(suite.echo, EIO);
    await join(session);
    await session.postBody(body).then(
      ({ status }) => assert.ok(status === 400 || !suite.echo.claims.strict, `answered with ${status}`),
      (error) => assert.match(error.message, /hang up|ECONNRESET/),
    );
    await isClosed(session);
  });
}

test('packets of text in a body of bytes are taken', async () => {
  const session = await PollingSession.start(suite.echo, EIO);
  await join(session);
  const body = encodeOctets([message('one'), message('😀')]);
  assert.equal((await session.postBody(body, { 'content-type': 'application/octet-stream' })).body, 'ok');
  for (const word of ['one', '😀']) assert.deepEqual(eventOf(await session.next()), ['message-back', word]);
});

test('a binary packet in a body of bytes is refused cleanly', async (t) => {
  if (!suite.claims(t, 'exact', 'engineioxide ends the session without an answer')) return;
  if (suite.echo.claims.binary) return t.skip('the server takes binary');
  const [sender, other] = [await PollingSession.start(suite.echo, EIO), await PollingSession.start(suite.echo, EIO)];
  await join(sender);
  await join(other);
  const packets = ['4517["message-with-ack",{"_placeholder":true,"num":0}]', Buffer.from([4, 1, 2, 3])];
  const { status } = await sender.postBody(encodeOctets(packets), { 'content-type': 'application/octet-stream' });
  if (status === 200) {
    const [refusal] = JSON.parse((await sender.next()).replace(/^437/, ''));
    assert.deepEqual([refusal.ok, refusal.error.code], [false, 'bad_request']);
    await echoes(sender);
  } else {
    assert.equal(status, 400);
    await isClosed(sender);
  }
  await echoes(other);
});

test('the session goes on over WebSocket', async () => {
  const session = await PollingSession.start(suite.echo, EIO);
  await join(session);
  const socket = await WebSocketSession.open(suite.echo, { eio: 3, sid: session.sid });
  await socket.send('2probe');
  assert.equal(await socket.next(), '3probe');
  await within(session.pause(), ANSWER_MS, 'the last poll is answered');
  await socket.send('5');
  await echoes(socket, '😀');
  await socket.send('2');
  assert.equal(await socket.next(), '3');
  assert.equal((await session.get()).status, 400);
});

test('a close packet ends the session and frees the poll that waits', async () => {
  const session = await PollingSession.start(suite.echo, EIO);
  await join(session);
  await session.send('1');
  await isClosed(session);
});

test('a binary frame with a text packet in it does not disturb others', async () => {
  const [sender, other] = [await WebSocketSession.open(suite.echo, EIO), await WebSocketSession.open(suite.echo, EIO)];
  await join(sender);
  await join(other);
  sender.socket.send(Buffer.from([4, 0x32]));
  await echoes(other);
});

test('a poll that may not carry bytes (b64) is answered with text', async () => {
  const session = await PollingSession.start(suite.echo, { ...EIO, query: { b64: '1' } });
  await join(session);
  await echoes(session, '😀');
});

test('a session of protocol 3 is unknown to protocol 4', async (t) => {
  if (!suite.claims(t, 'exact', 'engineioxide takes the version of each request')) return;
  const session = await PollingSession.open(suite.echo, EIO);
  assert.equal((await request(endpoint(suite.echo, { EIO: 4, transport: 'polling', sid: session.sid }))).status, 400);
  await until(async () => (await session.post('2')).body === 'ok', ANSWER_MS, 'the session lives');
});

test('an unknown session is refused', async () => {
  await isUnknown(suite.echo, { sid: 'abc', eio: 3 });
});
