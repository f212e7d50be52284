// What the tests of Socket.IO do over any transport.

import assert from 'node:assert/strict';

import { until, within } from '../../support/wait.mjs';
import { endpoint, request } from './http.mjs';
import { PollingSession } from './polling.mjs';
import { ANSWER_MS } from './queue.mjs';
import { WebSocketSession } from './websocket.mjs';

/** How a session is opened, by transport. */
export const OPENERS = {
  polling: (echo, options) => PollingSession.start(echo, options),
  websocket: (echo, options) => WebSocketSession.open(echo, options),
};

let tokens = 0;

/** Joins the default namespace (protocol 4 of Socket.IO is joined by itself), and answers `{sid, auth}`. */
export async function join(session, auth) {
  if (session.eio !== 3) await session.send(`40${auth === undefined ? '' : JSON.stringify(auth)}`);
  const joined = await session.next();
  assert.match(joined, session.eio === 3 ? /^40$/ : /^40\{/);
  const [event, data] = eventOf(await session.next());
  assert.equal(event, 'auth');
  return { ...JSON.parse(joined.slice(2) || '{}'), auth: data };
}

/** Name and arguments of an event without an acknowledgement. */
export function eventOf(packet) {
  assert.match(packet, /^42\[/);
  return JSON.parse(packet.slice(2));
}

export function message(...args) {
  return `42${JSON.stringify(['message', ...args])}`;
}

/** The session lives: what it sends comes back, and nothing else came before. */
export async function echoes(session, ...args) {
  const sent = args.length > 0 ? args : [`token-${(tokens += 1)}`];
  await session.send(message(...sent));
  assert.deepEqual(eventOf(await session.next()), ['message-back', ...sent]);
}

/** The session is closed by the server, and unknown afterwards. Answers how it was told. */
export async function isClosed(session, budgetMs = ANSWER_MS) {
  const how = await within(session.over, budgetMs, 'the session is closed');
  await isUnknown(session.echo, session, budgetMs);
  return how;
}

/** Waits until a poll with this session's id is refused as unknown: a session on another transport is refused otherwise. */
export function isUnknown(echo, { sid, eio = 4 }, budgetMs = ANSWER_MS) {
  const url = endpoint(echo, { EIO: eio, transport: 'polling', sid });
  return until(
    async () => {
      const { status, body } = await request(url, { budgetMs });
      return status === 400 && JSON.parse(body).code === 1;
    },
    budgetMs,
    `${sid} is unknown`,
  );
}

/** Sends what no session survives; it may be refused before it is taken. */
export async function sendFatal(session, packet) {
  try {
    await session.send(packet);
  } catch (error) {
    assert.match(error.message, /a post was not taken: 400|socket hang up|ECONNRESET/);
  }
}
