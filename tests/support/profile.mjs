// Which profile the tests run on: PHALANX_TEST_PROFILE, test1 (embedded, one process) by default, or test2 (ZooKeeper, Redis, a
// process for every node).

import { mkdirSync } from 'node:fs';

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

/** The servers that a cluster of this profile needs, started in `directory`, at their usual ports moved by `offset`. */
export async function startServers(directory, offset) {
  if (EMBEDDED) return {};
  mkdirSync(directory, { recursive: true });
  const [zookeeper, redis] = await Promise.all([
    Server.start('zookeeper', { port: 2181 + offset, directory }),
    Server.start('redis', { port: 6379 + offset, directory }),
  ]);
  return { zookeeper, redis };
}

/** The settings of a cluster of this profile at this offset, beyond the profile's own. */
export function settings(offset) {
  if (EMBEDDED) return {};
  const origins = `["http://127.0.0.1:${40000 + offset}"]`;
  return {
    ...SECRETS,
    PHALANX__ZOOKEEPER__SERVERS: `["127.0.0.1:${2181 + offset}"]`,
    PHALANX__REDIS__SERVERS: `["127.0.0.1:${6379 + offset}"]`,
    PHALANX__TICKET__CORS__ORIGINS: origins,
    PHALANX__SPEAR__CORS__ORIGINS: origins,
    // The tests of the simplest clients need what only the embedded cluster offers by itself.
    PHALANX__TICKET__TOKEN_IN_QUERY: 'on',
  };
}
