// A cluster on several hosts: three ZooKeeper servers, Redis with two replicas and three Sentinels on the hosts a, b and c; three spears,
// two tickets, two stats and two idgens on d, e and f. Clients come from `outside`. To a test it is what a Cluster is.

import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { inSeconds, sign } from '../jwt.mjs';
import { ROOT } from '../process.mjs';
import { until } from '../wait.mjs';
import { Ensemble } from './ensemble.mjs';
import { Network, whyNoHosts } from './network.mjs';
import { Placed } from './placed.mjs';
import { Replicated } from './replicated.mjs';

const BINARY = process.env.PHALANX_BIN ?? join(ROOT, 'target', 'test1', 'phalanx');

export const SERVER_HOSTS = ['a', 'b', 'c'];
export const NODE_HOSTS = ['d', 'e', 'f'];
const NODES = {
  'spear-1': 'd', 'spear-2': 'e', 'spear-3': 'f',
  'ticket-1': 'd', 'ticket-2': 'e',
  'stat-1': 'f', 'stat-2': 'd',
  'idgen-1': 'e', 'idgen-2': 'f',
};
// The ports of the default profile: what outsiders ask, and the admin port.
const PORTS = { spear: [30001, 30501], ticket: [20000, 20100], stat: [50100, 50120], idgen: [50001, 50011] };

// A setting for tests: how many milliseconds an idgen's wall clock is wrong by.
const HAS_CLOCK_FILE = readFileSync(join(ROOT, 'profiles', 'default', 'idgen.toml'), 'utf8').includes('clock_file');

const API_KEY = 'the-api-key-of-the-tests';
const TOKEN_KEY = 'the-key-of-a-back-end-that-signs-tokens-in-tests';
const TOKEN_SECONDS = 3600;
const START_MS = 90_000;
const ASK_MS = 10_000;
const LOOK_MS = 2_000;
const LOG_LINES = 12;

/** Why no cluster can be started on hosts here, in words for whoever runs it; undefined where one can. */
export function whyNoSite() {
  const why = whyNoHosts();
  if (why) return `no hosts can be made: ${why}`;
  return existsSync(BINARY) ? undefined : `${BINARY} is missing: build it with cargo build --profile test1, or set PHALANX_BIN`;
}

export class Site {
  /** id → `{role, id, url, admin, host, process, clock?}`; `clock` is a file that sets an idgen's wall clock */
  nodes = new Map();
  #turn = 0;
  #keeps = false;

  /**
   * Starts everything, and waits until it is ready. `dispose` takes it down.
   *
   * @param {{env?: Record<string, string>, nodes?: string[]}} options settings as environment variables; which nodes, all by default
   */
  static async start({ env = {}, nodes = Object.keys(NODES) } = {}) {
    const why = whyNoSite();
    if (why) throw new Error(why);
    const site = new Site();
    site.network = Network.create([...SERVER_HOSTS, ...NODE_HOSTS]);
    site.directory = mkdtempSync(join(tmpdir(), 'phalanx-hosts-'));
    site.logs = join(site.directory, 'logs');
    mkdirSync(site.logs);
    process.once('exit', site.#onExit);
    try {
      const servers = SERVER_HOSTS.map((name) => site.network.host(name));
      site.zookeeper = new Ensemble(servers, site.logs);
      site.redis = new Replicated(servers, site.logs);
      site.zookeeper.start();
      await Promise.all([site.zookeeper.whole(), site.redis.start()]);
      for (const id of nodes) site.nodes.set(id, site.#node(id, env));
      for (const id of nodes) site.spawnNode(id);
      await site.ready();
    } catch (error) {
      await site.dispose({ failed: true });
      throw error;
    }
    return site;
  }

  /** Every process of ours and of the servers. */
  get processes() {
    const servers = [this.zookeeper?.servers, this.redis?.servers, this.redis?.sentinels];
    return [...this.nodes.values()].map(({ process }) => process).concat(servers.flatMap((some) => some ?? []));
  }

  of(role) {
    return [...this.nodes.values()].filter((node) => node.role === role);
  }

  /** One ticket node after the other, as a client with several addresses goes on. */
  get ticketUrl() {
    return this.#next('ticket').url;
  }

  get statUrl() {
    return this.#next('stat').url;
  }

  /** Starts the process of one node; nobody waits for it. */
  spawnNode(id) {
    this.nodes.get(id).process.start();
  }

  /** Starts the process of one node, and waits until it is ready. */
  async launchNode(id) {
    this.spawnNode(id);
    await this.ready([id]);
  }

  killNode(id) {
    return this.nodes.get(id).process.kill9();
  }

  /** Waits until these nodes are ready, all by default, and every ticket node knows every spear. */
  async ready(ids = [...this.nodes.keys()]) {
    let waiting = ids;
    const look = async () => {
      const answers = await Promise.all(waiting.map((id) => this.readiness(id).catch(() => undefined)));
      waiting = waiting.filter((_, index) => !answers[index]?.ready);
      return waiting.length === 0;
    };
    await until(look, START_MS, () => `ready: ${waiting.join(', ')}\n${this.logTail()}`);
    const spears = `${this.of('spear').filter(({ process }) => process.runs).length} spears`;
    const known = async () => {
      const tickets = this.of('ticket').filter(({ process }) => process.runs);
      const answers = await Promise.all(tickets.map(({ id }) => this.readiness(id)));
      return answers.every(({ conditions }) => conditions.some(({ name, detail }) => name === 'spears' && detail.includes(spears)));
    };
    await until(known, START_MS, `every ticket node knows ${spears}`);
  }

  /** What /readyz of a node says. */
  async readiness(id) {
    return (await fetch(`${this.nodes.get(id).admin}/readyz`, { signal: AbortSignal.timeout(LOOK_MS) })).json();
  }

  /** The value of a counter or gauge of a node that has this label (`reason="ping_timeout"`), if one is asked for; 0 where it has none yet. */
  async metric(id, name, label = '') {
    const text = await (await fetch(`${this.nodes.get(id).admin}/metrics`, { signal: AbortSignal.timeout(LOOK_MS) })).text();
    const line = text.split('\n').find((each) => /^\w+/.exec(each)?.[0] === name && each.includes(label));
    return line === undefined ? 0 : Number(line.split(' ').at(-1));
  }

  /** Waits until nothing is amiss any more: every server serves, every node is ready. */
  async whole() {
    for (const process of this.processes) process.start();
    await Promise.all([this.zookeeper.whole(), this.redis.inSync()]);
    await this.ready();
  }

  async token(user, more = {}) {
    return sign({ sub: user, exp: inSeconds(TOKEN_SECONDS), ...more }, { secret: Buffer.from(TOKEN_KEY) });
  }

  /** A call of the business API. Answers `{status, body}`. */
  async stat(method, path, body, url = this.statUrl) {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(ASK_MS),
    });
    const text = await response.text();
    return { status: response.status, body: text ? JSON.parse(text) : undefined };
  }

  logTail() {
    return readdirSync(this.logs)
      .filter((file) => file.endsWith('.log'))
      .map((file) => `${file}:\n${readFileSync(join(this.logs, file), 'utf8').trimEnd().split('\n').slice(-LOG_LINES).join('\n')}`)
      .join('\n');
  }

  /** From now on the logs stay, whatever `dispose` is told, and also where the test is ended. */
  keep() {
    this.#keeps = true;
    process.removeListener('exit', this.#onExit);
  }

  /** Ends everything, and removes the hosts; the logs too, unless the test failed or `keep` says otherwise. */
  async dispose({ failed = false, keep = failed } = {}) {
    if (keep) this.keep();
    if (failed) console.error(`--- the last lines:\n${this.logTail()}\n---`);
    if (this.#keeps) console.error(`the logs are kept: ${this.logs}`);
    await Promise.all(this.processes.map((process) => process.kill9()));
    this.network.remove();
    process.removeListener('exit', this.#onExit);
    if (!this.#keeps) this.#onExit();
  }

  #onExit = () => rmSync(this.directory, { recursive: true, force: true });

  #next(role) {
    const nodes = this.of(role);
    this.#turn += 1;
    return nodes[this.#turn % nodes.length];
  }

  #node(id, env) {
    const [role, number] = id.split('-');
    const host = this.network.host(NODES[id]);
    const [port, admin] = PORTS[role].map((base) => base + Number(number) - 1);
    const command = [BINARY, role, '--instance', number, '--profile', 'test2'];
    const clock = role === 'idgen' && HAS_CLOCK_FILE ? join(this.directory, `${id}.clock`) : undefined;
    const faults = clock ? { PHALANX__IDGEN__FAULTS__CLOCK_FILE: clock } : {};
    const process = new Placed(id, host, { command, env: { ...this.#settings(id, role, host), ...faults, ...env }, logs: this.logs });
    return { role, id, host, clock, url: `http://${host.address}:${port}`, admin: `http://${host.address}:${admin}`, process };
  }

  #settings(id, role, host) {
    const own = `PHALANX__${role.toUpperCase()}`;
    const instances = Object.keys(NODES).filter((other) => other.startsWith(`${role}-`)).length;
    return {
      ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('PHALANX_'))),
      PHALANX__CLUSTER__DATA_DIR: join(this.directory, id),
      PHALANX__CLUSTER__SECRET: 'the-secret-of-the-nodes-of-a-test-cluster',
      PHALANX__CLUSTER__TICKET_KEY: 'the-key-that-signs-tickets-in-a-test-cluster',
      PHALANX__JWT__HS256_SECRET: TOKEN_KEY,
      PHALANX__STAT__API_KEYS: JSON.stringify([API_KEY]),
      PHALANX__INSTANCE__NAMESPACE: '',
      PHALANX__LOG__FORMAT: 'json',
      PHALANX__ZOOKEEPER__SERVERS: JSON.stringify(this.zookeeper.addresses),
      PHALANX__REDIS__MODE: 'sentinel',
      PHALANX__REDIS__SERVERS: JSON.stringify(this.redis.addresses),
      PHALANX__REDIS__WAIT_REPLICAS: '1',
      [`${own}__INSTANCES`]: String(instances),
      [`${own}__HOST`]: host.address,
      [`${own}__ADMIN__HOST`]: host.address,
    };
  }
}
