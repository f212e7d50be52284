// WebSocket (RFC 6455): however a client cuts its bytes, the same messages arrive.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';

import { CALM, withEcho } from './support/echo.mjs';
import { CLOSE, closeFrame, CONTINUATION, frame, handshake, PING, PONG, RawSession, text, TEXT } from './support/raw.mjs';
import { echoes, eventOf, goodbyeOf, isGone, join, message } from './support/session.mjs';

const suite = withEcho(CALM);

async function joined() {
  const session = await RawSession.open(suite.echo);
  await join(session);
  return session;
}

const wordOf = async (session) => eventOf(await session.next())[1];

test('the handshake proves that the server speaks WebSocket', async () => {
  const key = Buffer.from('sixteen bytes ok').toString('base64');
  const { head } = await RawSession.open(suite.echo, { headers: { 'Sec-WebSocket-Key': key } });
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  assert.match(head, new RegExp(`^sec-websocket-accept: ${accept.replaceAll('+', '\\+')}\\r?$`, 'mi'));
});

test('an extension that is offered need not be used', async () => {
  const headers = { 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits' };
  const session = await RawSession.open(suite.echo, { headers });
  assert.doesNotMatch(session.head, /sec-websocket-extensions/i);
  await join(session);
  await echoes(session, 'x'.repeat(10_000));
});

test('names of headers and their lists may be written in any way', async () => {
  const session = await RawSession.open(suite.echo, { headers: { Connection: 'keep-alive, upgrade', Upgrade: 'WebSocket' } });
  await join(session);
  await echoes(session);
});

for (const [what, headers] of Object.entries({
  'no key': { 'Sec-WebSocket-Key': undefined },
  'a key that is none': { 'Sec-WebSocket-Key': 'short' },
  'another version': { 'Sec-WebSocket-Version': '12' },
  'no version': { 'Sec-WebSocket-Version': undefined },
})) {
  test(`a handshake with ${what} is refused`, async (t) => {
    if (what !== 'no key' && !suite.claims(t, 'exact', 'engineioxide looks only whether there is a key')) return;
    await assert.rejects(RawSession.open(suite.echo, { headers }), /refused: HTTP\/1.1 4\d\d/);
  });
}

test('frames that come byte by byte are put together', async () => {
  const session = await joined();
  const bytes = Buffer.concat([text(message('é😀')), frame(PING, 'in between'), text(message('x'.repeat(200)))]);
  for (const byte of bytes) await session.write(Buffer.from([byte]));
  assert.equal(await wordOf(session), 'é😀');
  assert.equal(await wordOf(session), 'x'.repeat(200));
  assert.deepEqual(await session.controls.next(), { opcode: PONG, payload: Buffer.from('in between') });
});

test('a handshake that comes byte by byte is put together', async () => {
  const session = new RawSession(suite.echo);
  for (const byte of Buffer.from(handshake(suite.echo))) await session.write(Buffer.from([byte]));
  assert.match(await session.next(), /^0\{/);
  await session.close();
});

test('frames that come with the handshake are not lost', async (t) => {
  if (!suite.claims(t, 'strict', 'the official server is not yet listening when it has shaken hands')) return;
  const session = new RawSession(suite.echo);
  await session.write(Buffer.from(handshake(suite.echo)), text('40'), text(message('early')));
  assert.match(await session.next(), /^0\{/);
  assert.match(await session.next(), /^40\{/);
  assert.match(await session.next(), /^42\["auth"/);
  assert.equal(await wordOf(session), 'early');
  await session.close();
});

test('many frames in one segment keep their order', async () => {
  const session = await joined();
  const numbers = Array.from({ length: 2_000 }, (_, number) => number);
  await session.write(...numbers.map((number) => text(message(number))));
  for (const number of numbers) assert.equal(await wordOf(session), number);
});

test('frames cut at every place give the same messages', async () => {
  const session = await joined();
  const bytes = Buffer.concat([text(message('one')), frame(PING), text(message('€'), { fin: true }), text(message('three'))]);
  for (let cut = 1; cut < bytes.length; cut += 1) {
    await session.write(bytes.subarray(0, cut));
    await session.write(bytes.subarray(cut));
    for (const word of ['one', '€', 'three']) assert.equal(await wordOf(session), word, `cut at ${cut}`);
  }
});

test('a message in fragments is put together, with pings in between', async () => {
  const session = await joined();
  const bytes = Buffer.from(message('fragments of é😀'));
  const parts = [...bytes].map((byte) => Buffer.from([byte]));
  await session.write(text(parts[0], { fin: false }));
  for (const part of parts.slice(1, -1)) await session.write(frame(PING, part), frame(CONTINUATION, part, { fin: false }));
  await session.write(frame(CONTINUATION, parts.at(-1)));
  assert.equal(await wordOf(session), 'fragments of é😀');
  for (const part of parts.slice(1, -1)) assert.deepEqual(await session.controls.next(), { opcode: PONG, payload: part });
});

test('empty fragments are fragments', async () => {
  const session = await joined();
  const packet = message('x');
  const more = { fin: false };
  await session.write(
    text('', more),
    frame(CONTINUATION, packet, more),
    frame(CONTINUATION, '', more),
    frame(CONTINUATION),
  );
  assert.equal(await wordOf(session), 'x');
});

test('lengths around the borders of their forms are read', async () => {
  const session = await joined();
  const rest = message('').length;
  for (const size of [124, 125, 126, 127, 128, 65_534, 65_535, 65_536, 65_537, 131_072]) {
    const word = 'x'.repeat(size - rest);
    await session.send(message(word));
    assert.equal(await wordOf(session), word, `${size} bytes`);
  }
});

test('a ping is answered with its own payload, up to 125 bytes', async () => {
  const session = await joined();
  for (const size of [0, 1, 125]) {
    const payload = Buffer.alloc(size, 0xfe);
    await session.write(frame(PING, payload));
    assert.deepEqual(await session.controls.next(), { opcode: PONG, payload });
  }
});

test('a pong that nobody asked for is ignored', async () => {
  const session = await joined();
  await session.write(frame(PONG, 'unasked'), frame(PONG));
  await echoes(session);
});

for (const [what, bytes, code] of [
  ['a code', closeFrame(1000), 1000],
  ['a code and a reason', closeFrame(1001, 'going away é'), 1001],
  ['a code of its own', closeFrame(4321), 4321],
  ['nothing', frame(CLOSE), undefined],
]) {
  test(`a close frame with ${what} is answered, and ends the session`, async () => {
    const session = await joined();
    await session.write(bytes);
    const { opcode } = await session.controls.next();
    assert.equal(opcode, CLOSE);
    const answered = await session.closed();
    assert.ok([code, 1000, 1005].includes(answered), `closed with ${answered}`);
    await isGone(session);
  });
}

test('a connection that is cut ends the session', async (t) => {
  if (!suite.claims(t, 'farewell', 'the server is to say that it has noticed')) return;
  for (const end of ['end', 'resetAndDestroy']) {
    const session = await joined();
    session.socket[end]();
    assert.equal(await goodbyeOf(suite.echo, session.id), 'transport_closed', end);
  }
});

test('a connection that is cut within a frame ends the session', async (t) => {
  if (!suite.claims(t, 'farewell', 'the server is to say that it has noticed')) return;
  const session = await joined();
  await session.write(frame(TEXT, message('half'), {}).subarray(0, 10));
  session.socket.end();
  assert.equal(await goodbyeOf(suite.echo, session.id), 'transport_closed');
});
