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
  const { sid } = JSON.parse(joined.slice(2) || '{}');
  session.id = sid;
  return { sid, auth: data };
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

/** The session is closed by the server. Answers how it was told. */
export async function isClosed(session, budgetMs = ANSWER_MS) {
  const how = await within(session.over, budgetMs, 'the session is closed');
  if (session instanceof PollingSession) await isUnknown(session.echo, session, budgetMs);
  await isGone(session);
  return how;
}

/** What the server's handlers have been told of the end of a session that has joined; unless it cannot tell. */
export async function isGone(session) {
  if (session.id !== undefined && session.echo.claims.farewell) await goodbyeOf(session.echo, session.id);
}

/** Waits until the connection with this id has ended, and answers why. */
export async function goodbyeOf(echo, id, budgetMs = ANSWER_MS) {
  const witness = await WebSocketSession.open(echo);
  await join(witness);
  const ask = async () => {
    await witness.send(`420${JSON.stringify(['goodbye-of', id])}`);
    return JSON.parse((await witness.next()).replace(/^430/, ''))[0];
  };
  const reason = await until(ask, budgetMs, `the server has seen the end of ${id}`);
  await witness.close();
  return reason;
}

/** Resolves after so many pings of the server: its own measure of time. */
export async function afterPings(echo, count) {
  const clock = await WebSocketSession.open(echo);
  await join(clock);
  clock.answers = false;
  for (let pings = 0; pings < count; pings += 1) {
    assert.equal(await clock.next(), '2');
    await clock.send('3');
  }
  await clock.close();
}

/** Waits until a poll with this session's id is refused as unknown. Says nothing about a session on another transport. */
export function isUnknown(echo, { sid, eio = 4 }, budgetMs = ANSWER_MS) {
  const url = endpoint(echo, { EIO: eio, transport: 'polling', sid });
  return until(
    async () => {
      const { status, body } = await request(url, { budgetMs });
      // Some servers say numbers in quotes; that is for the tests of refusals to judge.
      return status === 400 && Number(JSON.parse(body).code) === 1;
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
