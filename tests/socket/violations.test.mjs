// WebSocket (RFC 6455): bytes that are no WebSocket close the connection with the code that says why, and harm nobody else.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CALM, withEcho } from './support/echo.mjs';
import { BINARY, CLOSE, closeFrame, CONTINUATION, frame, PING, PONG, RawSession, text, TEXT } from './support/raw.mjs';
import { echoes, isGone, join, message } from './support/session.mjs';
import { WebSocketSession } from './support/websocket.mjs';

const suite = withEcho(CALM);

const PROTOCOL = 1002;
const NOT_UTF8 = 1007;
const TOO_LARGE = 1009;
const LIMIT = 1_000_000;

/** The server has closed with one of these codes; with any, if it does not claim to say why. */
async function isClosedWith(session, ...codes) {
  const code = await session.closed();
  if (suite.echo.claims.exact) assert.ok(codes.includes(code), `closed with ${code}, not with ${codes}`);
}

/** Writes these bytes to a session that has joined; the server closes with this code, and others are not touched. */
async function closesWith(code, ...chunks) {
  const [session, other] = [await RawSession.open(suite.echo), await WebSocketSession.open(suite.echo)];
  await Promise.all([join(session), join(other)]);
  await session.write(...chunks);
  await isClosedWith(session, code);
  await isGone(session);
  await echoes(other);
}

const VIOLATIONS = {
  'a frame without a mask': [text(message('x'), { masked: false })],
  'a ping without a mask': [frame(PING, '', { masked: false })],
  'the first reserved bit': [text(message('x'), { reserved: 4 })],
  'the second reserved bit': [text(message('x'), { reserved: 2 })],
  'the third reserved bit': [text(message('x'), { reserved: 1 })],
  'a reserved bit on a ping': [frame(PING, '', { reserved: 4 })],
  'the unknown opcode 3': [frame(0x3, 'x')],
  'the unknown opcode 7': [frame(0x7, 'x')],
  'the unknown opcode 11': [frame(0xb)],
  'the unknown opcode 15': [frame(0xf)],
  'a ping in fragments': [frame(PING, 'x', { fin: false })],
  'a pong in fragments': [frame(PONG, 'x', { fin: false })],
  'a close frame in fragments': [frame(CLOSE, '', { fin: false })],
  'a ping of 126 bytes': [frame(PING, 'x'.repeat(126))],
  'a close frame of 126 bytes': [frame(CLOSE, Buffer.concat([Buffer.from([0x03, 0xe8]), Buffer.alloc(124, 'x')]))],
  'a continuation of nothing': [frame(CONTINUATION, 'x')],
  'a continuation after the end': [text(message('x'), { fin: false }), frame(CONTINUATION), frame(CONTINUATION)],
  'a new message within fragments': [text(message('x'), { fin: false }), text(message('y'))],
  'bytes within fragments of text': [text(message('x'), { fin: false }), frame(BINARY, 'y')],
  'a close frame of one byte': [frame(CLOSE, Buffer.from([0x03]))],
  'the close code 999': [closeFrame(999)],
  'the close code 1004': [closeFrame(1004)],
  'the close code 1005': [closeFrame(1005)],
  'the close code 1006': [closeFrame(1006)],
  'the close code 1016': [closeFrame(1016)],
  'the close code 2999': [closeFrame(2999)],
  'the close code 5000': [closeFrame(5000)],
};

for (const [what, chunks] of Object.entries(VIOLATIONS)) {
  test(`${what} closes with ${PROTOCOL}`, () => closesWith(PROTOCOL, ...chunks));
}

const BROKEN_TEXT = {
  'a byte that no character has': [0xff],
  'a continuation byte alone': [0x80],
  'a character cut short': [0xe2, 0x82],
  'an overlong form': [0xc0, 0xaf],
  'a surrogate': [0xed, 0xa0, 0x80],
  'more than Unicode has': [0xf4, 0x90, 0x80, 0x80],
};

for (const [what, bytes] of Object.entries(BROKEN_TEXT)) {
  const broken = Buffer.concat([Buffer.from('42["message","'), Buffer.from(bytes), Buffer.from('"]')]);

  test(`${what} in text closes with ${NOT_UTF8}`, () => closesWith(NOT_UTF8, text(broken)));

  test(`${what} in fragments of text closes with ${NOT_UTF8}`, () => {
    const cut = Buffer.from('42["message","').length + 1;
    return closesWith(NOT_UTF8, text(broken.subarray(0, cut), { fin: false }), frame(CONTINUATION, broken.subarray(cut)));
  });
}

test(`a close reason that is not UTF-8 closes with ${NOT_UTF8}`, async () => {
  await closesWith(NOT_UTF8, frame(CLOSE, Buffer.from([0x03, 0xe8, 0xff])));
});

test('a message of just the limit is taken', async () => {
  const session = await RawSession.open(suite.echo);
  await join(session);
  await session.send(message('x'.repeat(LIMIT - message('').length)));
  assert.ok((await session.next()).length > LIMIT);
});

test(`a message above the limit closes with ${TOO_LARGE}`, async () => {
  await closesWith(TOO_LARGE, text(message('x'.repeat(LIMIT + 1 - message('').length))));
});

test(`a message above the limit in fragments closes with ${TOO_LARGE}`, async () => {
  const part = 'x'.repeat(LIMIT / 4);
  const parts = Array.from({ length: 4 }, () => frame(CONTINUATION, part, { fin: false }));
  await closesWith(TOO_LARGE, text('42["message","', { fin: false }), ...parts, frame(CONTINUATION, '"]'));
});

for (const [what, length] of Object.entries({
  'a byte more than the limit': LIMIT + 1,
  '4 GB': 2 ** 32,
  'all that a number can say': 2n ** 53n - 1n,
})) {
  test(`a frame that announces ${what} closes with ${TOO_LARGE}, before it comes`, async () => {
    await closesWith(TOO_LARGE, frame(TEXT, 'x', { length, form: 64 }));
  });
}

test('a frame that announces 2^63 bytes closes', async () => {
  const session = await RawSession.open(suite.echo);
  await session.write(frame(TEXT, 'x', { length: 2n ** 63n, form: 64 }));
  await isClosedWith(session, PROTOCOL, TOO_LARGE);
});

test('a length in a longer form than it needs is taken, or closes with 1002', async () => {
  for (const form of [16, 64]) {
    const session = await RawSession.open(suite.echo);
    await join(session);
    await session.write(text(message('x'), { form }));
    const came = await Promise.race([session.next(), session.over]);
    assert.ok(came === PROTOCOL || came === '42["message-back","x"]', String(came));
  }
});

test('what follows a violation in the same segment is not taken', async () => {
  const session = await RawSession.open(suite.echo);
  await join(session);
  await session.write(frame(0x3), text(message('after')));
  await isClosedWith(session, PROTOCOL);
  await assert.rejects(session.next(), /closed with/);
});

test('no HTTP at all is refused, and harms nobody', async () => {
  const session = new RawSession(suite.echo);
  await session.write(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03, 0x0d, 0x0a, 0x0d, 0x0a]));
  await session.closed();
  const other = await WebSocketSession.open(suite.echo);
  await join(other);
  await echoes(other);
});
