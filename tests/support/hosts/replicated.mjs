// A Redis primary with two replicas, and three Sentinels, one of each a host.

import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { ROOT } from '../process.mjs';
import { until } from '../wait.mjs';
import { Placed } from './placed.mjs';
import { talk } from './talk.mjs';

const PORT = 6379;
const SENTINEL = 26379;
const QUORUM = 2;
const START_MS = 60_000;
const ANSWER_MS = 2_000;
// Between a replica and its primary, in bytes: both go on all the while.
const LAG = 100_000;

export class Replicated {
  servers;
  sentinels;

  constructor(hosts, directory) {
    const script = join(ROOT, 'bin', 'lib', 'server.sh');
    const [first] = hosts;
    const place = (kind, host, index, args) => {
      const name = `${kind}-${index + 1}`;
      const command = [script, kind, join(directory, name), ...args];
      return new Placed(name, host, { command, env: { ...process.env, SERVER_BIND: host.address }, logs: directory });
    };
    this.servers = hosts.map((host, index) => {
      const options = ['--protected-mode', 'no', '--min-replicas-to-write', '1', '--repl-timeout', '5', '--repl-ping-replica-period', '1'];
      // Sentinel writes into it whom to follow, so that it stays so over a restart.
      mkdirSync(join(directory, `redis-${index + 1}`), { recursive: true });
      writeFileSync(join(directory, `redis-${index + 1}`, 'redis.conf'), index > 0 ? `replicaof ${first.address} ${PORT}\n` : '');
      return place('redis', host, index, [String(PORT), ...options]);
    });
    this.sentinels = hosts.map((host, index) => place('sentinel', host, index, [String(SENTINEL), String(PORT), String(QUORUM), first.address]));
  }

  /** host:port of every Sentinel. */
  get addresses() {
    return this.sentinels.map((sentinel) => `${sentinel.host.address}:${SENTINEL}`);
  }

  async start() {
    for (const server of this.servers) server.start();
    await this.inSync({ sentinels: false });
    for (const sentinel of this.sentinels) sentinel.start();
    await this.inSync();
  }

  /** A command to one server; answers its lines. */
  command(server, ...words) {
    return ask(server.host, PORT, words);
  }

  /** The one that the most Sentinels name; undefined where no two agree. */
  async primary() {
    const named = await Promise.all(this.sentinels.map((sentinel) => this.#named(sentinel)));
    const address = named.find((one, index) => one && named.indexOf(one) !== index);
    return this.servers.find((server) => server.host.address === address);
  }

  /** Waits for the moment in which another one takes itself for the primary: the third one may not know yet. */
  promoted(old, budgetMs) {
    const others = this.servers.filter((server) => server !== old);
    const isPrimary = async ({ host }) => (await talk(host.address, PORT, 'info replication\r\n', 'connected_slaves')).includes('role:master');
    const found = async () => (await Promise.all(others.map(isPrimary))).includes(true);
    return until(found, budgetMs, `another Redis is made the primary in place of ${old.name}`);
  }

  /** Waits until another one is the primary in place of `old`, which is dead, and the third server follows it. */
  async failover(old, budgetMs) {
    const third = async () => {
      const primary = await this.primary();
      if (!primary || primary === old) return false;
      return /state=online/.test(await this.command(primary, 'info', 'replication'));
    };
    await until(third, budgetMs, `another Redis is the primary in place of ${old.name}`);
  }

  /** Writes down for a server that is not running that it is to follow the primary. */
  async follow(server) {
    const primary = await until(() => this.primary(), START_MS, 'the Sentinels name a primary');
    const file = join(server.logs, server.name, 'redis.conf');
    const others = readFileSync(file, 'utf8').split('\n').filter((line) => !line.startsWith('replicaof'));
    writeFileSync(file, `${others.join('\n')}\nreplicaof ${primary.host.address} ${PORT}\n`);
  }

  /** Waits until one server is the primary, two follow it closely, and every Sentinel sees all of it. */
  async inSync({ sentinels = true } = {}) {
    let why = '';
    const look = async () => {
      why = await this.#whyNotInSync(sentinels);
      return why === undefined;
    };
    await until(look, START_MS, () => `Redis is in sync: ${why}`);
  }

  async #whyNotInSync(sentinels) {
    const primary = sentinels ? await this.primary() : this.servers[0];
    if (!primary) return 'the Sentinels name no primary';
    const text = (await this.command(primary, 'info', 'replication')).replaceAll('\r', '');
    if (!text.includes('role:master')) return `${primary.name} is no primary`;
    const offset = Number(/master_repl_offset:(\d+)/.exec(text)[1]);
    const close = [...text.matchAll(/state=online,offset=(\d+)/g)].filter(([, theirs]) => offset - Number(theirs) < LAG);
    if (close.length < this.servers.length - 1) return `${close.length} replicas follow ${primary.name}`;
    if (!sentinels) return undefined;
    for (const sentinel of this.sentinels) {
      const seen = await ask(sentinel.host, SENTINEL, ['sentinel', 'ckquorum', 'mymaster']);
      const state = await ask(sentinel.host, SENTINEL, ['sentinel', 'master', 'mymaster']);
      const value = (key) => new RegExp(`^${key}\\n(.*)$`, 'm').exec(state)?.[1];
      if (!seen.startsWith('OK 3')) return `${sentinel.name}: ${seen}`;
      if (value('flags') !== 'master' || value('ip') !== primary.host.address) return `${sentinel.name}: ${value('flags')} at ${value('ip')}`;
      const replicas = await ask(sentinel.host, SENTINEL, ['sentinel', 'replicas', 'mymaster']);
      const flags = [...replicas.matchAll(/^flags\n(.*)$/gm)].map(([, flag]) => flag);
      if (flags.length !== 2 || flags.some((flag) => flag !== 'slave')) return `${sentinel.name} sees replicas ${flags}`;
    }
    return undefined;
  }

  async #named(sentinel) {
    const answer = await ask(sentinel.host, SENTINEL, ['sentinel', 'get-master-addr-by-name', 'mymaster']).catch(() => '');
    return answer.split('\n')[0] || undefined;
  }
}

async function ask(host, port, words) {
  // In a session of its own: Ctrl-C at the terminal does not end it.
  const { stdout } = await promisify(execFile)('setsid', ['redis-cli', '-h', host.address, '-p', String(port), ...words], { timeout: ANSWER_MS });
  return stdout;
}
