// Engine.IO 4 over long-polling: bodies both ways, and what ends a session.

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';

import { within } from '../support/wait.mjs';
import { CALM, withEcho } from './support/echo.mjs';
import { request } from './support/http.mjs';
import { PollingSession } from './support/polling.mjs';
import { echoes, eventOf, isUnknown, message } from './support/session.mjs';

const suite = withEcho(CALM);

/** A session that has joined, with no poll under way. */
async function joined() {
  const session = await PollingSession.open(suite.echo);
  await session.post('40');
  const packets = [];
  // A server may ping at once.
  while (packets.length < 2) packets.push(...(await session.get()).packets.filter((packet) => packet !== '2'));
  assert.match(packets[0], /^40\{"sid":/);
  return session;
}

/** Packets of as many polls as it takes. */
async function packetsOf(session, count) {
  const packets = [];
  while (packets.length < count) packets.push(...(await session.get()).packets);
  return packets;
}

/** A post that ends its session is refused, or its connection ends with it. */
async function refusedOrCut(answer, statuses = [400]) {
  const status = await answer.then((answered) => answered.status, (error) => error.code);
  // The official server answers "ok" to most of what it closes a session for.
  if (!suite.echo.claims.strict) statuses = [...statuses, 200];
  assert.ok([...statuses, 'ECONNRESET', 'EPIPE'].includes(status), `answered with ${status}`);
}

test('a post is answered with ok, and its event by the next poll', async (t) => {
  if (!suite.claims(t, 'exact', 'engineioxide gives another type')) return;
  const session = await joined();
  const { status, headers, body } = await session.post(message('hello'));
  assert.deepEqual([status, headers['content-type'], body], [200, 'text/html', 'ok']);
  assert.deepEqual((await session.get()).packets, ['42["message-back","hello"]']);
});

test('a poll waits for what comes', async () => {
  const session = await joined();
  const poll = session.get();
  await session.post(message(1));
  assert.deepEqual((await poll).packets, ['42["message-back",1]']);
});

test('several packets in one body are taken in order', async () => {
  const session = await joined();
  const numbers = Array.from({ length: 20 }, (_, number) => number);
  assert.equal((await session.post(...numbers.map((number) => message(number)))).body, 'ok');
  const back = await packetsOf(session, 20);
  assert.deepEqual(back.map((packet) => eventOf(packet)[1]), numbers);
});

test('what waits is answered by one poll', async () => {
  const session = await joined();
  for (const word of ['a', 'b', 'c']) await session.post(message(word));
  assert.deepEqual((await session.get()).packets.map((packet) => eventOf(packet)[1]), ['a', 'b', 'c']);
});

test('no answer holds more packets than python-socketio takes, and the next ones hold the rest', async (t) => {
  if (!suite.claims(t, 'exact', 'engineioxide answers with all of them')) return;
  const session = await joined();
  const numbers = Array.from({ length: 40 }, (_, number) => number);
  await session.post(...numbers.map((number) => message(number)));
  const polls = [];
  while (polls.flat().length < numbers.length) polls.push((await session.get()).packets);
  assert.deepEqual(polls.map((packets) => packets.length), [16, 16, 8]);
  assert.deepEqual(polls.flat().map((packet) => eventOf(packet)[1]), numbers);
});

test('a body is text in UTF-8, whatever its type says', async () => {
  const session = await joined();
  const text = 'é€😀\u2028\u0000 "quoted"';
  for (const type of ['text/plain;charset=UTF-8', 'text/plain', undefined]) {
    const headers = type ? { 'content-type': type } : {};
    assert.equal((await session.postBody(message(text), headers)).body, 'ok');
    assert.deepEqual((await packetsOf(session, 1)).map(eventOf), [['message-back', text]]);
  }
});

test('a body that comes in pieces, even within a character, is put together', async () => {
  const session = await joined();
  const body = Buffer.from(message('😀'));
  const { pathname, search } = new URL(session.url);
  const socket = connect(suite.echo.port, '127.0.0.1');
  socket.setNoDelay();
  const head = `POST ${pathname}${search} HTTP/1.1\r\nHost: echo\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n`;
  await new Promise((resolve) => socket.write(head, resolve));
  for (const byte of body) {
    const chunk = Buffer.concat([Buffer.from('1\r\n'), Buffer.from([byte]), Buffer.from('\r\n')]);
    await new Promise((resolve) => socket.write(chunk, resolve));
  }
  socket.write('0\r\n\r\n');
  assert.deepEqual((await session.get()).packets.map(eventOf), [['message-back', '😀']]);
  socket.destroy();
});

test('a close packet ends the session and frees the poll that waits', async () => {
  const session = await joined();
  const poll = session.get();
  // Another session's way there and back, so that the poll waits by then.
  await joined();
  const [polled, { status }] = await Promise.all([poll, session.post('1')]);
  assert.equal(status, 200);
  // Where the network let the close packet overtake it even so, there was nothing to free.
  if (polled.status !== 400) assert.deepEqual(polled.packets, ['6']);
  await isUnknown(suite.echo, session);
});

test('two polls at once end the session', async () => {
  const session = await joined();
  const answers = await Promise.all([session.get(), session.get()]);
  // Which of the two came first, the network decides.
  answers.sort((one, other) => one.status - other.status);
  assert.deepEqual([answers[0].status, answers[0].packets], [200, ['1']]);
  assert.ok([400, 500].includes(answers[1].status), `the second: ${answers[1].status}`);
  await isUnknown(suite.echo, session);
});

test('two posts at once end the session', async (t) => {
  if (!suite.claims(t, 'exact', 'engineioxide takes both, one after the other')) return;
  const session = await joined();
  const { pathname, search } = new URL(session.url);
  const first = connect(suite.echo.port, '127.0.0.1');
  const firstEnded = new Promise((resolve) => first.once('close', resolve));
  first.on('error', () => {});
  first.resume();
  const half = `POST ${pathname}${search} HTTP/1.1\r\nHost: echo\r\nContent-Length: 100\r\n\r\n42["mess`;
  await new Promise((resolve) => first.write(half, resolve));
  await refusedOrCut(session.post(message('second')), [400, 500]);
  await isUnknown(suite.echo, session);
  first.destroy();
  await firstEnded;
});

test('a poll whose connection is cut ends the session', async (t) => {
  if (!suite.claims(t, 'exact', 'engineioxide does not notice')) return;
  const session = await joined();
  const abort = new AbortController();
  const poll = session.get({ signal: abort.signal });
  // Leaves the poll the time to be sent: the server answers this one after it has taken the connection of the other.
  await session.post('3');
  abort.abort();
  await assert.rejects(poll, { name: 'AbortError' });
  await isUnknown(suite.echo, session);
});

test('a body above the limit is refused with 413', async () => {
  const session = await joined();
  const { status } = await session.postBody(message('x'.repeat(1_000_001)));
  assert.equal(status, 413);
});

test('a body above the limit without a length is refused as well', async () => {
  const session = await joined();
  const { status } = await session.postBody(message('x'.repeat(1_000_001)), { 'transfer-encoding': 'chunked' });
  assert.equal(status, 413);
});

test('a body just within the limit is taken', async () => {
  const session = await joined();
  const frame = message('').length;
  const text = 'x'.repeat(1_000_000 - frame);
  assert.equal((await session.post(message(text))).body, 'ok');
  const [packet] = await packetsOf(session, 1);
  assert.equal(eventOf(packet)[1], text);
});

for (const [what, body] of Object.entries({
  'no packet': 'abc',
  'an unknown type': '9',
  'nothing': '',
  'a good packet before a bad one': `${message('good')}\x1eabc`,
})) {
  test(`a body with ${what} ends the session`, async (t) => {
    if (what === 'nothing' && !suite.claims(t, 'exact', 'engineioxide lets that pass')) return;
    const session = await joined();
    await refusedOrCut(session.postBody(body));
    await isUnknown(suite.echo, session);
  });
}

test('a body that is not UTF-8 is refused, and ends the session', async (t) => {
  if (!suite.claims(t, 'strict', 'the official server replaces what is no UTF-8')) return;
  const session = await joined();
  await refusedOrCut(session.postBody(Buffer.concat([Buffer.from('42["message","'), Buffer.from([0xff, 0xfe]), Buffer.from('"]')])));
  await isUnknown(suite.echo, session);
});

test('bytes instead of text are refused', async () => {
  const session = await joined();
  await refusedOrCut(session.postBody(Buffer.from([1, 2, 3]), { 'content-type': 'application/octet-stream' }));
  await isUnknown(suite.echo, session);
});

test('one session that ends leaves the others alone', async () => {
  const [bad, good] = [await joined(), await joined()];
  await refusedOrCut(bad.postBody('abc'));
  await isUnknown(suite.echo, bad);
  await echoes(good.poll());
});

test('an answer is not compressed for who does not ask for it', async () => {
  const session = await joined();
  await session.post(message('x'.repeat(100_000)));
  const { headers } = await within(request(session.url), 5_000, 'the poll');
  assert.equal(headers['content-encoding'], undefined);
});
