// Starts the built binary as a cluster of its own: temporary data, free ports, collected logs. Which profile, `profile.mjs` says.

import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { inSeconds, sign } from './jwt.mjs';
import { releaseOffset, reserveOffset } from './ports.mjs';
import { Process, ROOT } from './process.mjs';
import { API_KEY, EMBEDDED, KEYS, PROFILE, settings, startServers } from './profile.mjs';
import { until } from './wait.mjs';

const BINARY = process.env.PHALANX_BIN ?? join(ROOT, 'target', 'test1', 'phalanx');

// More than the 75 s for which a node waits for a port that an outgoing connection holds.
const START_MS = 90_000;
const LOG_LINES = 200;
const TOKEN_SECONDS = 3600;

// These end last: the others need them while they drain.
const BEHIND = ['idgen', 'stat'];

export class Cluster {
  /** id → `{role, id, url, admin, process}`; in an embedded cluster all share one process. */
  nodes = new Map();
  /** `zookeeper` and `redis`, where the profile has them. */
  servers = {};
  #env;
  #keep = false;
  #zookeepers;

  /**
   * Starts a cluster and waits until every node is ready. `dispose` takes it down.
   *
   * @param {{env?: Record<string, string>, launch?: boolean, servers?: boolean, zookeepers?: 1 | 3}} options settings as
   *   environment variables, kept over restarts; `launch: false` and `servers: false` leave the nodes and the servers to the
   *   test; how many ZooKeeper servers there are
   */
  static async start(options = {}) {
    if (!existsSync(BINARY)) {
      throw new Error(`${BINARY} is missing: build it with cargo build --profile test1, or set PHALANX_BIN`);
    }
    const cluster = new Cluster();
    cluster.#zookeepers = options.zookeepers;
    cluster.offset = await reserveOffset();
    cluster.directory = mkdtempSync(join(tmpdir(), 'phalanx-test-'));
    mkdirSync(cluster.logs);
    cluster.#env = {
      ...withoutPhalanx(process.env),
      PHALANX__CLUSTER__DATA_DIR: cluster.dataDir,
      PHALANX__INSTANCE__NAMESPACE: '',
      PHALANX__INSTANCE__PORT_OFFSET: String(cluster.offset),
      PHALANX__LOG__FORMAT: 'json',
      ...settings(cluster.offset, options),
      ...options.env,
    };
    process.once('exit', cluster.#onExit);
    try {
      for (const node of cluster.#plan()) cluster.nodes.set(node.id, node);
      if (options.servers !== false) await cluster.startServers();
      if (options.launch !== false) await cluster.launch();
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

  get logs() {
    return join(this.directory, 'logs');
  }

  /** Of the one process of an embedded cluster. */
  get pid() {
    return this.#processes()[0]?.pid;
  }

  /** Starts what the nodes need, where the profile needs anything. */
  async startServers() {
    this.servers = await startServers(join(this.directory, 'servers'), this.offset, { zookeepers: this.#zookeepers });
  }

  /** Starts every process with the same data and ports as before, and waits until every node is ready. */
  async launch(env = {}) {
    if (EMBEDDED) {
      const process = this.#spawn('cluster', ['all'], env);
      for (const node of this.nodes.values()) node.process = process;
    } else {
      for (const id of this.nodes.keys()) this.spawnNode(id, env);
    }
    await this.ready();
  }

  /** Starts the process of one node; nobody waits for it. */
  spawnNode(id, env = {}) {
    const node = this.nodes.get(id);
    node.process = this.#spawn(id, [node.role, '--instance', id.split('-').at(-1)], env);
  }

  /** Starts the process of one node, and waits until it is ready. */
  async launchNode(id, env = {}) {
    this.spawnNode(id, env);
    await this.ready([id]);
  }

  /** SIGKILL for one node's process. */
  killNode(id) {
    return this.nodes.get(id).process.kill9();
  }

  /** Waits until these nodes are ready, all by default. */
  async ready(ids = [...this.nodes.keys()]) {
    const ended = () => this.#processes().find((process) => process.end);
    let waiting = ids;
    await until(
      async () => {
        if (ids.some((id) => this.nodes.get(id).process?.end)) return true;
        waiting = await this.#notReady(waiting);
        return waiting.length === 0;
      },
      START_MS,
      () => `ready: ${waiting.join(', ')}\n${this.logTail()}`,
    );
    if (waiting.length > 0) throw new Error(`a process ended: ${JSON.stringify(ended()?.end)}\n${this.logTail()}`);
    await this.#tickets();
  }

  /** Waits until every ticket node knows every spear that runs: a snapshot follows a moment after a registration. */
  async #tickets() {
    const running = (role) => [...this.nodes.values()].filter((node) => node.role === role && node.process && !node.process.end);
    const spears = `${running('spear').length} spears`;
    await until(
      async () => {
        const answers = await Promise.all(running('ticket').map((node) => this.readiness(node.id).catch(() => undefined)));
        return answers.every((answer) => answer?.conditions.some(({ name, detail }) => name === 'spears' && detail.includes(spears)));
      },
      START_MS,
      `every ticket node knows ${spears}`,
    );
  }

  async #notReady(ids) {
    const ready = await Promise.all(
      ids.map((id) => this.readiness(id).then((answer) => answer.ready, () => false)),
    );
    return ids.filter((_, index) => !ready[index]);
  }

  /** What /readyz of a node says. */
  async readiness(id) {
    return (await fetch(`${this.nodes.get(id).admin}/readyz`, { signal: AbortSignal.timeout(5_000) })).json();
  }

  /** The value of a metric of a node; `undefined` where it has none. */
  async metric(id, name) {
    const text = await (await fetch(`${this.nodes.get(id).admin}/metrics`, { signal: AbortSignal.timeout(5_000) })).text();
    const line = text.split('\n').find((each) => each.startsWith(name) && (each.includes(`"${id}"`) || /^\w+ /.test(each)));
    return line === undefined ? undefined : Number(line.split(' ').at(-1));
  }

  /** SIGKILL for every process of ours: nothing is flushed, nobody is told. Servers go on. */
  async kill9() {
    await Promise.all(this.#processes().map((process) => process.kill9()));
  }

  /** kill9, then launch again. */
  async crash() {
    await this.kill9();
    await this.launch();
  }

  /** Sends SIGTERM and the like as a supervisor would: first to what clients hold on to. */
  signal(name) {
    for (const process of this.#processes((node) => EMBEDDED || !BEHIND.includes(node.role))) process.signal(name);
  }

  /** How the processes ended after [`signal`]: `{code, signal}` of the worst. */
  async exited() {
    const doors = await Promise.all(
      this.#processes((node) => EMBEDDED || !BEHIND.includes(node.role)).map((process) => process.ended()),
    );
    const behind = EMBEDDED ? [] : this.#processes((node) => BEHIND.includes(node.role));
    for (const process of behind) process.signal('SIGTERM');
    const ends = [...doors, ...(await Promise.all(behind.map((process) => process.ended())))];
    return ends.find((end) => end.code !== 0) ?? ends[0];
  }

  /** SIGTERM; it must exit with 0. */
  async stop() {
    this.signal('SIGTERM');
    const end = await this.exited();
    if (end.code !== 0) throw new Error(`expected exit 0 after SIGTERM, got ${JSON.stringify(end)}\n${this.logTail()}`);
  }

  /** Runs another command of the binary to its end, with the settings of this cluster. Answers `{stdout, stderr}`. */
  run(args) {
    return promisify(execFile)(BINARY, [...args, '--profile', PROFILE], { cwd: ROOT, env: this.#env });
  }

  /** A user's token, as their back end signs it; the embedded cluster helps out. */
  async token(user, more = {}) {
    if (!EMBEDDED) return sign({ sub: user, exp: inSeconds(TOKEN_SECONDS), ...more }, KEYS.token);
    const response = await fetch(`${this.ticketUrl}/dev/token`, {
      method: 'POST',
      body: JSON.stringify({ user, ...more }),
    });
    const body = await response.json();
    if (!response.ok) throw new Error(`/dev/token answered ${response.status}: ${JSON.stringify(body)}`);
    return body.token;
  }

  /** A call of the business API. Answers `{status, body}`. */
  async stat(method, path, body, url = this.statUrl) {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    return { status: response.status, body: text ? JSON.parse(text) : undefined };
  }

  /** What each process has logged: `[name, text]`. */
  logged() {
    const files = existsSync(this.logs) ? readdirSync(this.logs) : [];
    return files.map((file) => [file, readFileSync(join(this.logs, file), 'utf8')]);
  }

  logTail() {
    const files = this.logged();
    const lines = Math.ceil(LOG_LINES / Math.max(files.length, 1));
    return files.map(([name, text]) => `${name}:\n${text.trimEnd().split('\n').slice(-lines).join('\n')}`).join('\n');
  }

  /** The key that signs `token`s or `ticket`s, for tests that sign some of their own. */
  key(name) {
    if (!EMBEDDED) return KEYS[name];
    const { kid, secret } = JSON.parse(readFileSync(join(this.dataDir, `${name}.key`), 'utf8'));
    return { kid, secret: Buffer.from(secret, 'hex') };
  }

  /** Ends the processes that still run, prints the logs of a failed test, removes the directory. */
  async dispose({ failed = false } = {}) {
    if (failed) {
      console.error(`--- the last lines of ${this.logs}:\n${this.logTail()}\n---`);
      this.#keep = true;
    }
    await this.kill9();
    await Promise.all(Object.values(this.servers).map((server) => server.kill9()));
    process.removeListener('exit', this.#onExit);
    releaseOffset(this.offset);
    if (!this.#keep) rmSync(this.directory, { recursive: true, force: true });
  }

  /** The nodes of the profile, as the binary itself lists them. */
  #plan() {
    const lines = execFileSync(BINARY, ['nodes', '--profile', PROFILE], { cwd: ROOT, env: this.#env, encoding: 'utf8' });
    return lines
      .trim()
      .split('\n')
      .map((line) => line.split('\t'))
      .map(([role, id, url, admin]) => ({ role, id, url, admin }));
  }

  #spawn(name, args, env) {
    return new Process(BINARY, [...args, '--profile', PROFILE], {
      env: { ...this.#env, ...env },
      log: join(this.logs, name),
    });
  }

  #processes(which = () => true) {
    const nodes = [...this.nodes.values()].filter(which);
    return [...new Set(nodes.map((node) => node.process).filter(Boolean))];
  }

  #onExit = () => releaseOffset(this.offset);
}

/** Settings of the developer's own shell must not reach the tests. */
function withoutPhalanx(env) {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('PHALANX_')));
}
