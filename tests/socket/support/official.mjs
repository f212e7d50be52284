// The official clients: v4 and v3 speak protocol 5, v2 speaks protocol 4.

import io2 from 'socket.io-client-v2';
import v3 from 'socket.io-client-v3';
import { io as io4 } from 'socket.io-client';

import { until, within } from '../../support/wait.mjs';
import { noteSession } from './open.mjs';
import { ANSWER_MS } from './queue.mjs';

const OPEN = { v4: io4, v3: v3.io, v2: io2 };
const TRANSPORTS = { websocket: ['websocket'], polling: ['polling'], 'polling, then websocket': ['polling', 'websocket'] };

/** Every version with every transport: `{name, version, transport}`. */
export const CLIENTS = Object.keys(OPEN).flatMap((version) =>
  Object.keys(TRANSPORTS).map((transport) => ({ name: `${version} over ${transport}`, version, transport })),
);

/** Opens a client and waits for its connection; what the server says to have got as `auth` is then `given`. */
export async function begin(echo, { version, transport }, options = {}) {
  const socket = OPEN[version](echo.url, { transports: TRANSPORTS[transport], reconnection: false, forceNew: true, ...options });
  noteSession(socket);
  socket.on('auth', (auth) => (socket.given = auth));
  await within(
    new Promise((resolve, reject) => {
      socket.once('connect', resolve);
      for (const failure of ['connect_error', 'error']) {
        socket.once(failure, (error) => reject(error instanceof Error ? error : new Error(error)));
      }
    }),
    ANSWER_MS,
    `${version} over ${transport} is connected`,
  );
  return socket;
}

/** The same, and where the client upgrades, it has done so. */
export async function connect(echo, client, options) {
  const socket = await begin(echo, client, options);
  if (client.transport.endsWith('then websocket')) await upgraded(socket);
  return socket;
}

/** Waits until the client's transport is WebSocket. */
export function upgraded(socket) {
  return until(() => socket.io.engine.transport.name === 'websocket', ANSWER_MS, 'the client has upgraded');
}

/** The arguments of the next event of this name. */
export function nextEvent(socket, name, budgetMs = ANSWER_MS) {
  return within(new Promise((resolve) => socket.once(name, (...args) => resolve(args))), budgetMs, `the event ${name}`);
}

/** Emits with an acknowledgement, and answers its arguments. */
export function ask(socket, name, ...args) {
  const answer = new Promise((resolve) => socket.emit(name, ...args, (...answered) => resolve(answered)));
  return within(answer, ANSWER_MS, `${name} is acknowledged`);
}

/** Sends each through `message` at once, and answers what came back, in order. */
export async function echoed(socket, messages, budgetMs = 30_000) {
  const back = [];
  const note = (...args) => back.push(args);
  socket.on('message-back', note);
  for (const args of messages) socket.emit('message', ...args);
  await until(() => back.length >= messages.length, budgetMs, () => `${back.length} of ${messages.length} messages came back`);
  socket.off('message-back', note);
  return back;
}
