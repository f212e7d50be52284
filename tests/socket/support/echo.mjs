// The Socket.IO server that these tests judge: an echo server, a process of its own.
//
// The scenarios are those of the official protocol suites (Engine.IO 3 and 4, Socket.IO 5), the official clients v2 to v4 on every
// transport, and hostile peers. PHALANX_ECHO is the command line that starts the server (split at spaces, run in the project's
// root); without it, it is `target/test1/examples/echo`. `tests/socket/reference.mjs` is the same server on the official packages:
//
//   PHALANX_ECHO="node tests/socket/reference.mjs" node --test tests/socket/*.test.mjs
//
// The server gets `--port --ping-interval-ms --ping-timeout-ms --connect-timeout-ms --max-payload`, and where a test asks for it
// `--outgoing-bytes` (what may wait for one client) and `--send-buffer-bytes` (SO_SNDBUF); it listens on 127.0.0.1, and says on its
// standard output, once it listens, what it claims: `echo ready: binary=no namespaces=no strict=yes exact=yes farewell=yes http=yes`.
//
//   binary=no       a binary event is refused: its acknowledgement is {"ok":false,"error":{"code":"bad_request"}}; `yes`: echoed
//   namespaces=no   only the default namespace exists
//   rejoin=yes      who has left may connect again in the same session
//   strict=yes      it also holds what the official server does not; each such test says what that is
//   exact=yes       it also holds what engineioxide does not; each such test says what that is, and of a WebSocket that is violated
//                   the code is not judged but only that it is closed
//   farewell=yes    it knows `goodbye-of`
//   http=yes        it also ends connections that never get to the end of a request, within the time to connect
//
// What is not claimed is taken for `no`, and its tests are skipped with the reason.
//
// What it does on the default namespace:
//
//   on connect                     emits `auth` with the handshake's auth object
//   `message` ...args              emits `message-back` with the same
//   `message-with-ack` ...args     acknowledges with the same
//   `ask`                          emits `question` with an acknowledgement, then `answered` with what was acknowledged
//   `many` n                       emits n events `one`, numbered without a gap
//   `leave`                        disconnects this client
//   `goodbye-of` id                acknowledges why the connection with this id (of `40{"sid"}`) has ended, null while it has not:
//                                  `client_left`, `server_closed`, `transport_closed`, `ping_timeout`, or another word

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, afterEach, before, beforeEach } from 'node:test';

import { Process, ROOT } from '../../support/process.mjs';
import { until } from '../../support/wait.mjs';
import { closeSessions } from './open.mjs';
import { releasePort, reservePort } from './port.mjs';

const COMMAND = process.env.PHALANX_ECHO ?? join('target', 'test1', 'examples', 'echo');

const START_MS = 20_000;
const LOG_LINES = 200;

const TIMES = { pingIntervalMs: 300, pingTimeoutMs: 2_000, connectTimeoutMs: 3_000, maxPayload: 1_000_000 };
/** Heartbeats, and a time to join, that no test lives to see: what closes a session is then something else. */
export const CALM = { pingIntervalMs: 60_000, pingTimeoutMs: 60_000, connectTimeoutMs: 60_000 };

export class Echo {
  /** What the server claims: `{strict: true, …}`. */
  claims = {};
  #directory = mkdtempSync(join(tmpdir(), 'phalanx-echo-'));
  #process;

  /** Starts a server and waits until it listens. Times in milliseconds, sizes in bytes. */
  static async start(options = {}) {
    const echo = new Echo();
    echo.options = { ...TIMES, ...options };
    echo.port = await reservePort();
    try {
      await echo.launch();
    } catch (error) {
      await echo.dispose({ failed: true });
      throw error;
    }
    return echo;
  }

  /** Starts the process, at the same port as before. */
  async launch() {
    const { pingIntervalMs, pingTimeoutMs, connectTimeoutMs, maxPayload, outgoingBytes, sendBufferBytes } = this.options;
    const [command, ...first] = COMMAND.split(' ').filter(Boolean);
    const args = [
      '--port', this.port,
      '--ping-interval-ms', pingIntervalMs,
      '--ping-timeout-ms', pingTimeoutMs,
      '--connect-timeout-ms', connectTimeoutMs,
      '--max-payload', maxPayload,
      ...(outgoingBytes ? ['--outgoing-bytes', outgoingBytes] : []),
      ...(sendBufferBytes ? ['--send-buffer-bytes', sendBufferBytes] : []),
    ];
    // A relative path belongs to the project's root; a name without a slash is looked up.
    const program = command.includes('/') ? resolve(ROOT, command) : command;
    this.#process = new Process(program, [...first, ...args.map(String)], { env: process.env, log: this.#log });
    await until(() => this.#isReady(), START_MS, () => `${COMMAND} serves; its log: ${this.logTail()}`);
  }

  get host() {
    return `127.0.0.1:${this.port}`;
  }

  get url() {
    return `http://${this.host}`;
  }

  get isRunning() {
    return this.#process.end === undefined;
  }

  get pid() {
    return this.#process.pid;
  }

  kill9() {
    return this.#process.kill9();
  }

  logTail() {
    return readFileSync(this.#log, 'utf8').split('\n').slice(-LOG_LINES).join('\n');
  }

  async dispose({ failed = false } = {}) {
    if (failed) console.error(`--- the last lines of the server's log:\n${this.logTail()}\n---`);
    await this.#process?.kill9();
    releasePort(this.port);
    rmSync(this.#directory, { recursive: true, force: true });
  }

  get #log() {
    return join(this.#directory, 'log');
  }

  async #isReady() {
    if (!this.isRunning) throw new Error('it has ended');
    const [, claims] = /^echo ready:(.*)$/m.exec(readFileSync(this.#log, 'utf8')) ?? [];
    if (claims === undefined) throw new Error('it has not said "echo ready:"');
    this.claims = Object.fromEntries([...claims.matchAll(/(\w+)=(\w+)/g)].map(([, name, value]) => [name, value === 'yes']));
    return accepts(this.port);
  }
}

/**
 * Registers one server for the tests of a file. After each test its sessions are closed, and a server that has ended fails the test.
 */
export function withEcho(options) {
  const suite = {
    echo: undefined,
    /** Whether the server claims this; if not, the test is skipped, with the reason. */
    claims(test, name, reason) {
      if (!suite.echo.claims[name]) test.skip(`needs ${name}=yes: ${reason}`);
      return suite.echo.claims[name];
    },
  };
  let failed = false;
  before(async () => {
    suite.echo = await Echo.start(options);
  });
  beforeEach(async () => {
    // Ended under an earlier test, which has failed for it.
    if (!suite.echo.isRunning) await suite.echo.launch();
  });
  afterEach(async (test) => {
    await closeSessions();
    failed ||= test.passed === false;
    if (!suite.echo.isRunning) {
      failed = true;
      throw new Error('the server has ended');
    }
  });
  after(() => suite.echo?.dispose({ failed }));
  return suite;
}

function accepts(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}
