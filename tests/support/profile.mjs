// Which profile the tests run on: PHALANX_TEST_PROFILE, test1 (embedded, one process) by default, or test2 (ZooKeeper, Redis, a
// process for every node), or kafka or rocketmq (the same with hints over one of these).

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { Server } from './server.mjs';

export const PROFILE = process.env.PHALANX_TEST_PROFILE ?? 'test1';
export const EMBEDDED = PROFILE === 'test1';

const SECRETS = {
  PHALANX__CLUSTER__SECRET: 'the-secret-of-the-nodes-of-a-test-cluster',
  PHALANX__CLUSTER__TICKET_KEY: 'the-key-that-signs-tickets-in-a-test-cluster',
  PHALANX__JWT__HS256_SECRET: 'the-key-of-a-back-end-that-signs-tokens-in-tests',
  PHALANX__STAT__API_KEYS: '["the-api-key-of-the-tests"]',
  PHALANX__MINIONS_UI__API_KEY: 'the-api-key-of-the-tests',
};

/** What opens the business API. */
export const API_KEY = EMBEDDED ? 'dev-api-key' : SECRETS.PHALANX__MINIONS_UI__API_KEY;

/** The keys that sign tokens and tickets, where the cluster does not make them. */
export const KEYS = {
  token: { secret: Buffer.from(SECRETS.PHALANX__JWT__HS256_SECRET) },
  ticket: { kid: 'cluster', secret: Buffer.from(SECRETS.PHALANX__CLUSTER__TICKET_KEY) },
};

// Where an ensemble's servers listen, and where they speak to one another.
const ZOOKEEPERS = [2181, 2281, 2381];
const PEERS = [[2482, 2483], [2582, 2583], [2682, 2683]];

/** The usual ports of what every cluster of several processes needs beside ZooKeeper, and of what a profile's relay needs. */
const PORTS = { redis: 6379, ...{ kafka: { kafka: 9092 }, rocketmq: { 'rocketmq-names': 9876, rocketmq: 10911 } }[PROFILE] };

/** The settings that say where they are. */
const SETTINGS = { redis: 'REDIS__SERVERS', kafka: 'KAFKA__SERVERS', 'rocketmq-names': 'ROCKETMQ__NAME_SERVERS' };

/**
 * The servers that a cluster of this profile needs, started in `directory`, at their usual ports moved by `offset`, by their kinds.
 * Of three ZooKeeper servers the others are `zookeeper2` and `zookeeper3`.
 */
export async function startServers(directory, offset, { zookeepers = 1 } = {}) {
  if (EMBEDDED) return {};
  mkdirSync(directory, { recursive: true });
  const kinds = Object.entries(zookeepers === 1 ? { zookeeper: ZOOKEEPERS[0], ...PORTS } : PORTS);
  const options = { rocketmq: [`127.0.0.1:${PORTS['rocketmq-names'] + offset}`] };
  const single = Promise.all(kinds.map(([kind, port]) => Server.start(kind, { port: port + offset, directory, options: options[kind] })));
  const servers = Object.fromEntries((await single).map((server) => [server.kind, server]));
  if (zookeepers === 1) return servers;
  const peers = PEERS.map((pair, index) => `server.${index + 1}=127.0.0.1:${pair.map((port) => port + offset).join(':')}`);
  const [zookeeper, zookeeper2, zookeeper3] = await Promise.all(
    ZOOKEEPERS.map((port, index) => {
      const own = join(directory, `zookeeper-${index + 1}`);
      mkdirSync(own, { recursive: true });
      return Server.start('zookeeper', { port: port + offset, directory: own, options: [String(index + 1), ...peers] });
    }),
  );
  return { zookeeper, zookeeper2, zookeeper3, ...servers };
}

/** The settings of a cluster of this profile at this offset, beyond the profile's own. */
export function settings(offset, { zookeepers = 1 } = {}) {
  if (EMBEDDED) return {};
  const origins = `["http://127.0.0.1:${40000 + offset}"]`;
  return {
    ...SECRETS,
    PHALANX__ZOOKEEPER__SERVERS: JSON.stringify(ZOOKEEPERS.slice(0, zookeepers).map((port) => `127.0.0.1:${port + offset}`)),
    ...Object.fromEntries(
      Object.entries(PORTS)
        .filter(([kind]) => kind in SETTINGS)
        .map(([kind, port]) => [`PHALANX__${SETTINGS[kind]}`, `["127.0.0.1:${port + offset}"]`]),
    ),
    PHALANX__TICKET__CORS__ORIGINS: origins,
    PHALANX__SPEAR__CORS__ORIGINS: origins,
    // The tests of the simplest clients need what only the embedded cluster offers by itself.
    PHALANX__TICKET__TOKEN_IN_QUERY: 'on',
  };
}
