// Engine.IO 4: from long-polling to WebSocket, and every way not to get there.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { within } from '../support/wait.mjs';
import { CALM, withEcho } from './support/echo.mjs';
import { PollingSession } from './support/polling.mjs';
import { ANSWER_MS } from './support/queue.mjs';
import { echoes, eventOf, isClosed, join, message } from './support/session.mjs';
import { refusedWith, WebSocketSession } from './support/websocket.mjs';

const suite = withEcho(CALM);

async function joined() {
  const session = await PollingSession.start(suite.echo);
  await join(session);
  return session;
}

/** A WebSocket for this session whose probe was answered. */
async function probe(session) {
  const socket = await WebSocketSession.open(suite.echo, { sid: session.sid });
  await socket.send('2probe');
  assert.equal(await socket.next(), '3probe');
  return socket;
}

/** The whole upgrade: probe, last poll, upgrade packet. */
async function upgrade(session) {
  const socket = await probe(session);
  await session.pause();
  await socket.send('5');
  return socket;
}

/** A second WebSocket for a session is not let in, or closed at once. */
async function isTurnedAway(sid) {
  try {
    const socket = await WebSocketSession.open(suite.echo, { sid });
    await within(socket.over, ANSWER_MS, 'the second WebSocket is closed');
  } catch (error) {
    assert.match(error.message, /refused: 400/);
  }
}

test('the session goes on over WebSocket', async () => {
  const session = await joined();
  await echoes(session);
  const socket = await upgrade(session);
  await echoes(socket);
  await echoes(socket, 'é😀', { a: [1] });
});

test('the poll that waits is flushed, so that the upgrade need not wait', async () => {
  const session = await joined();
  await probe(session);
  await within(session.pause(), ANSWER_MS, 'the last poll is answered, though nothing is to be told');
});

test('what is on its way while upgrading is neither lost nor reordered', async () => {
  const COUNT = 3_000;
  for (let round = 0; round < 5; round += 1) {
    const session = await joined();
    await session.send(`42["many",${COUNT}]`);
    // Some come by polls, the rest by WebSocket.
    const first = [await session.next()];
    const socket = await probe(session);
    await session.pause();
    while (session.waiting > 0) first.push(await session.next());
    await socket.send('5');
    const rest = [];
    while (first.length + rest.length < COUNT) rest.push(await socket.next());
    const numbers = [...first, ...rest].map((packet) => eventOf(packet)[1]);
    assert.deepEqual(numbers, Array.from({ length: COUNT }, (_, at) => numbers[0] + at), `round ${round}`);
    await echoes(socket);
  }
});

test('what the client sends around the upgrade keeps its order', async () => {
  const session = await joined();
  const socket = await probe(session);
  for (let number = 0; number < 50; number += 1) await session.send(message(number));
  await session.pause();
  const back = [];
  while (session.waiting > 0) back.push(await session.next());
  await socket.send('5');
  for (let number = 50; number < 100; number += 1) await socket.send(message(number));
  while (back.length < 100) back.push(await socket.next());
  assert.deepEqual(back.map((packet) => eventOf(packet)[1]), Array.from({ length: 100 }, (_, at) => at));
});

test('after the upgrade, requests are refused and the session lives', async () => {
  const session = await joined();
  const socket = await upgrade(session);
  await echoes(socket);
  assert.equal((await session.get()).status, 400);
  assert.equal((await session.post('3')).status, 400);
  await echoes(socket);
});

test('after the upgrade, a second WebSocket is turned away and the session lives', async () => {
  const session = await joined();
  const socket = await upgrade(session);
  await echoes(socket);
  await isTurnedAway(session.sid);
  await echoes(socket);
});

test('while one upgrade is under way, a second WebSocket is turned away', async (t) => {
  if (!suite.claims(t, 'exact', 'engineioxide lets a second WebSocket in')) return;
  const session = await joined();
  const socket = await probe(session);
  await isTurnedAway(session.sid);
  await session.pause();
  await socket.send('5');
  await echoes(socket);
});

test('a WebSocket session cannot be upgraded', async (t) => {
  if (!suite.claims(t, 'strict', 'the official server lets a second WebSocket take over from the first')) return;
  const session = await WebSocketSession.open(suite.echo);
  await join(session);
  await isTurnedAway(session.sid);
  await echoes(session);
});

test('an upgrade of an unknown session is refused', async () => {
  assert.equal(await refusedWith(suite.echo, { EIO: 4, transport: 'websocket', sid: 'abc' }), 400);
});

test('an upgrade in another protocol version is refused, and polling goes on', async (t) => {
  if (!suite.claims(t, 'exact', 'engineioxide takes the version of each request')) return;
  const session = await joined();
  assert.equal(await refusedWith(suite.echo, { EIO: 3, transport: 'websocket', sid: session.sid }), 400);
  await echoes(session);
});

test('a WebSocket that says nothing leaves polling usable', async (t) => {
  if (!suite.claims(t, 'exact', 'engineioxide stops polling when a WebSocket opens')) return;
  const session = await joined();
  await WebSocketSession.open(suite.echo, { sid: session.sid });
  for (let round = 0; round < 10; round += 1) await echoes(session);
});

test('a probe without an upgrade leaves polling usable', async (t) => {
  if (!suite.claims(t, 'exact', 'engineioxide stops polling when a WebSocket opens')) return;
  const session = await joined();
  await probe(session);
  for (let round = 0; round < 10; round += 1) await echoes(session);
});

test('a probe that is given up leaves polling usable, and the next upgrade succeeds', async (t) => {
  if (!suite.claims(t, 'exact', 'engineioxide stops polling when a WebSocket opens')) return;
  const session = await joined();
  const socket = await probe(session);
  await socket.close();
  for (let round = 0; round < 5; round += 1) await echoes(session);
  await echoes(await upgrade(session));
});

test('a second probe is answered as the first', async (t) => {
  if (!suite.claims(t, 'exact', 'engineioxide ends the session')) return;
  const session = await joined();
  const socket = await probe(session);
  await socket.send('2probe');
  assert.equal(await socket.next(), '3probe');
  await session.pause();
  await socket.send('5');
  await echoes(socket);
});

for (const packet of ['40', message('too early'), '2', '2other', '3probe', '1', 'abc']) {
  test(`${packet} instead of a probe closes the WebSocket, and polling goes on`, async (t) => {
    if (!suite.claims(t, 'exact', 'engineioxide ends the session with the WebSocket')) return;
    const session = await joined();
    const socket = await WebSocketSession.open(suite.echo, { sid: session.sid });
    await socket.send(packet);
    await within(socket.over, ANSWER_MS, 'the WebSocket is closed');
    await echoes(session);
  });
}

test('a session that ends takes the upgrade with it', async () => {
  const session = await joined();
  const socket = await probe(session);
  await session.send('1');
  await isClosed(session);
  await within(socket.over, ANSWER_MS, 'the WebSocket is closed');
});

test('the WebSocket that took over ends the session when it closes', async () => {
  const session = await joined();
  const socket = await upgrade(session);
  await echoes(socket);
  socket.socket.close();
  await isClosed(socket);
});
