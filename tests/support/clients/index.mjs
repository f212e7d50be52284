// Which client the tests run with, and over what: PHALANX_TEST_CLIENT (`v4` by default, `v3`, `v2`, `python`) and
// PHALANX_TEST_TRANSPORT (`websocket` by default, `polling`, `upgrade`: the one after the other).
//
//   official.mjs  what the official client's versions have in common
//   v4.mjs, v3.mjs, v2.mjs  a version each
//   python.mjs    python-socketio, in a process of its own: tests/clients/python/many.py
//
// Each is a class with the same methods: `on`, `once`, `onAny`, `emit`, `ask`, `disconnect`, `cut`. Whatever the client calls it,
// `connect_error` says why a connection is refused, with the server's words in `data`, and `disconnect` that it has ended.

import { PythonSocket, startPython } from './python.mjs';
import { V2Socket } from './v2.mjs';
import { V3Socket } from './v3.mjs';
import { V4Socket } from './v4.mjs';

const CLIENTS = { v4: V4Socket, v3: V3Socket, v2: V2Socket, python: PythonSocket };
const TRANSPORTS = { websocket: ['websocket'], polling: ['polling'], upgrade: ['polling', 'websocket'] };

const CLIENT = process.env.PHALANX_TEST_CLIENT ?? 'v4';
const TRANSPORT = process.env.PHALANX_TEST_TRANSPORT ?? 'websocket';

for (const [name, value, known] of [['CLIENT', CLIENT, CLIENTS], ['TRANSPORT', TRANSPORT, TRANSPORTS]]) {
  if (!Object.hasOwn(known, value)) throw new Error(`PHALANX_TEST_${name} is ${value}, not one of ${Object.keys(known)}`);
}
// It may have to be installed, for which no test has the time.
if (CLIENT === 'python') await startPython();

/**
 * Opens a socket with this ticket, or without one; the caller waits for `connect`, `ready` or `connect_error`.
 *
 * @param {{client?: string, transports?: string[]}} options the rest is for the official client: `agent`
 */
export function open(url, ticket, { client = CLIENT, transports = TRANSPORTS[TRANSPORT], ...more } = {}) {
  return new CLIENTS[client](url, ticket, { transports, ...more });
}
