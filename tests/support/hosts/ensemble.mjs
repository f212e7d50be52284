// Three ZooKeeper servers, one a host.

import { join } from 'node:path';

import { ROOT } from '../process.mjs';
import { until } from '../wait.mjs';
import { Placed } from './placed.mjs';
import { talk } from './talk.mjs';

const PORT = 2181;
const START_MS = 60_000;

export class Ensemble {
  /** In the order of their hosts. */
  servers;

  constructor(hosts, directory) {
    const peers = hosts.map((host, index) => `server.${index + 1}=${host.address}:2888:3888`);
    this.servers = hosts.map((host, index) => {
      const name = `zookeeper-${index + 1}`;
      const command = [join(ROOT, 'bin', 'lib', 'server.sh'), 'zookeeper', join(directory, name), String(PORT), String(index + 1), ...peers];
      return new Placed(name, host, { command, env: { ...process.env, SERVER_BIND: host.address }, logs: directory });
    });
  }

  /** What a client is told: host:port of every server. */
  get addresses() {
    return this.servers.map((server) => `${server.host.address}:${PORT}`);
  }

  start() {
    for (const server of this.servers) server.start();
  }

  /** `leader`, `follower`, or undefined for one that does not serve. */
  async mode(server) {
    return /Mode: (\w+)/.exec(await talk(server.host.address, PORT, 'srvr', 'Node count').catch(() => ''))?.[1];
  }

  async leader() {
    const modes = await Promise.all(this.servers.map((server) => this.mode(server)));
    return this.servers[modes.indexOf('leader')];
  }

  /** Waits until all three serve. */
  whole() {
    const serve = async () => {
      const modes = await Promise.all(this.servers.map((server) => this.mode(server)));
      return modes.every(Boolean) && modes.filter((mode) => mode === 'leader').length === 1;
    };
    return until(serve, START_MS, 'three ZooKeeper servers serve, one of them as the leader');
  }

  /** The sessions that clients on a host have: `[{id, port, server}]`; `id` as `0x…`, `port` of their end. */
  async sessions(host) {
    const found = [];
    for (const server of this.servers) {
      const text = await talk(server.host.address, PORT, 'cons').catch(() => '');
      for (const [, address, port, id] of text.matchAll(/\/([\d.]+):(\d+)\[.*?sid=(0x[0-9a-f]+)/g)) {
        if (address === host.address && id !== '0x0') found.push({ id, port: Number(port), server });
      }
    }
    return found;
  }
}
