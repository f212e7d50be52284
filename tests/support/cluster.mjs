// Starts the built binary as an embedded cluster of its own: temporary data, free ports, collected logs.

import { spawn } from 'node:child_process';
import { createWriteStream, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { releaseOffset, reserveOffset } from './ports.mjs';
import { until, within } from './wait.mjs';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const BINARY = process.env.PHALANX_BIN ?? join(ROOT, 'target', 'test1', 'phalanx');

// A test process that is told to end takes its clusters with it: 'exit' is not emitted for a signal that nobody handles.
for (const [signal, number] of [['SIGHUP', 1], ['SIGINT', 2], ['SIGTERM', 15]]) {
  process.once(signal, () => process.exit(128 + number));
}

const START_MS = 30_000;
const STOP_MS = 30_000;
const LOG_LINES = 200;

// Where each node answers /readyz, before the offset.
const ADMIN_PORTS = {
  'ticket-1': 20100,
  'spear-1': 30501,
  'spear-2': 30502,
  'minions-ui-1': 40100,
  'idgen-1': 50011,
  'idgen-2': 50012,
  'stat-1': 50120,
  'stat-2': 50121,
};

export class Cluster {
  #child;
  #exited;
  #env;
  #keep = false;
  #log;

  /**
   * Starts a cluster and waits until every node is ready. `dispose` takes it down.
   *
   * @param {{env?: Record<string, string>}} options settings as environment variables, kept over restarts
   */
  static async start(options = {}) {
    if (!existsSync(BINARY)) {
      throw new Error(`${BINARY} is missing: build it with cargo build --profile test1, or set PHALANX_BIN`);
    }
    const cluster = new Cluster();
    cluster.#env = options.env ?? {};
    cluster.offset = await reserveOffset();
    cluster.directory = mkdtempSync(join(tmpdir(), 'phalanx-test-'));
    cluster.logFile = join(cluster.directory, 'log');
    cluster.#log = createWriteStream(cluster.logFile, { flags: 'a' });
    process.once('exit', cluster.#onExit);
    try {
      await cluster.launch();
    } catch (error) {
      await cluster.dispose({ failed: true });
      throw error;
    }
    return cluster;
  }

  /** The address of a port that has `base` in the default profile. */
  url(base) {
    return `http://127.0.0.1:${base + this.offset}`;
  }

  get ticketUrl() {
    return this.url(20000);
  }

  get statUrl() {
    return this.url(50100);
  }

  get dataDir() {
    return join(this.directory, 'data');
  }

  get pid() {
    return this.#child?.pid;
  }

  /** Starts the process with the same data and ports as before, and waits until every node is ready. */
  async launch(env = {}) {
    const child = spawn(BINARY, ['all', '--profile', 'test1'], {
      cwd: ROOT,
      env: {
        ...withoutPhalanx(process.env),
        PHALANX__CLUSTER__DATA_DIR: this.dataDir,
        PHALANX__INSTANCE__PORT_OFFSET: String(this.offset),
        PHALANX__LOG__FORMAT: 'json',
        ...this.#env,
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.pipe(this.#log, { end: false });
    child.stderr.pipe(this.#log, { end: false });
    this.#child = child;
    this.#exited = once(child, 'exit').then(([code, signal]) => ({ code, signal }));
    let gone;
    this.#exited.then((end) => (gone = end));
    let waitingFor = Object.keys(ADMIN_PORTS);
    await until(
      async () => {
        if (gone) return true;
        waitingFor = await this.#notReady(waitingFor);
        return waitingFor.length === 0;
      },
      START_MS,
      () => `ready: ${waitingFor.join(', ')}\n${this.logTail()}`,
    );
    if (gone) throw new Error(`the cluster ended at its start: ${JSON.stringify(gone)}\n${this.logTail()}`);
  }

  async #notReady(nodes) {
    const ready = await Promise.all(
      nodes.map((node) =>
        fetch(`${this.url(ADMIN_PORTS[node])}/readyz`).then(
          (response) => response.ok,
          () => false,
        ),
      ),
    );
    return nodes.filter((_, index) => !ready[index]);
  }

  /** What /readyz of a node says. */
  async readiness(node) {
    return (await fetch(`${this.url(ADMIN_PORTS[node])}/readyz`)).json();
  }

  /** SIGKILL: nothing is flushed, nobody is told. */
  async kill9() {
    this.#child.kill('SIGKILL');
    return within(this.#exited, STOP_MS, 'the killed process is gone');
  }

  /** kill9, then launch again. */
  async crash() {
    await this.kill9();
    await this.launch();
  }

  signal(name) {
    this.#child.kill(name);
  }

  /** How the process ended: `{code, signal}`. */
  exited() {
    return within(this.#exited, STOP_MS, `the process has ended\n${this.logTail()}`);
  }

  /** SIGTERM; it must exit with 0. */
  async stop() {
    this.signal('SIGTERM');
    const end = await this.exited();
    if (end.code !== 0) throw new Error(`expected exit 0 after SIGTERM, got ${JSON.stringify(end)}\n${this.logTail()}`);
  }

  /** A call of the business API. Answers `{status, body}`. */
  async stat(method, path, body) {
    const response = await fetch(`${this.statUrl}${path}`, {
      method,
      headers: { authorization: 'Bearer dev-api-key', 'content-type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    return { status: response.status, body: text ? JSON.parse(text) : undefined };
  }

  logTail() {
    try {
      const lines = readFileSync(this.logFile, 'utf8').trimEnd().split('\n');
      return lines.slice(-LOG_LINES).join('\n');
    } catch {
      return '(no log)';
    }
  }

  /** The key that signs `token`s of /dev/token or `ticket`s, for tests that sign some of their own. */
  key(name) {
    const { kid, secret } = JSON.parse(readFileSync(join(this.dataDir, `${name}.key`), 'utf8'));
    return { kid, secret: Buffer.from(secret, 'hex') };
  }

  /** Ends the process if it still runs, prints the log of a failed test, removes the directory. */
  async dispose({ failed = false } = {}) {
    if (failed) {
      console.error(`--- the last lines of ${this.logFile}:\n${this.logTail()}\n---`);
      this.#keep = true;
    }
    if (this.#child && this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill('SIGKILL');
      await this.#exited;
    }
    process.removeListener('exit', this.#onExit);
    this.#log.end();
    releaseOffset(this.offset);
    if (!this.#keep) rmSync(this.directory, { recursive: true, force: true });
  }

  #onExit = () => {
    this.#child?.kill('SIGKILL');
    releaseOffset(this.offset);
  };
}

/** Settings of the developer's own shell must not reach the tests. */
function withoutPhalanx(env) {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('PHALANX_')));
}
