// Given a store's Redis that speaks TLS only, to a user with a password, and a Redis of the relay's own, then messages flow, no password
// is shown, and the loss of the relay's Redis refuses no send and loses nothing.

import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { makeCertificates } from '../support/certificates.mjs';
import { closeAll } from '../support/client.mjs';
import { Cluster } from '../support/cluster.mjs';
import { Server } from '../support/server.mjs';
import { all, settle, talkers } from '../support/talkers.mjs';
import { until } from '../support/wait.mjs';

const STORE = { user: 'keeper', password: 'password-of-the-store' };
const RELAY = { user: 'default', password: 'password-of-the-relay' };
const PORTS = { store: 6379, relay: 6479, zookeeper: 2181 };
const AWAY_MS = 4_000;

let cluster;
let failed = false;

before(async () => {
  const env = { PHALANX__RELAY__REDIS__USER: RELAY.user, PHALANX__RELAY__REDIS__PASSWORD: RELAY.password };
  cluster = await Cluster.start({ env, launch: false, servers: false });
  const port = (name) => PORTS[name] + cluster.offset;
  const directory = join(cluster.directory, 'servers');
  const tls = makeCertificates(join(directory, 'certificates'));
  const start = (kind, name, more) => {
    mkdirSync(join(directory, name), { recursive: true });
    return Server.start(kind, { port: port(name), directory: join(directory, name), ...more });
  };
  const greeting = ({ user, password }) => [`AUTH ${user} ${password}\r\nPING\r\n`, '+PONG'];
  const [zookeeper, store, relay] = await Promise.all([
    start('zookeeper', 'zookeeper'),
    start('redis', 'store', {
      options: [
        ...['--port', '0', '--tls-port', String(port('store')), '--tls-auth-clients', 'no'],
        ...['--tls-ca-cert-file', tls.ca, '--tls-cert-file', tls.cert, '--tls-key-file', tls.key],
        ...['--user', STORE.user, 'on', `>${STORE.password}`, '~phalanx:*', '&phalanx:*', '+@all', '--user', 'default', 'off'],
      ],
      greeting: greeting(STORE),
      ca: tls.ca,
    }),
    start('redis', 'relay', { options: ['--requirepass', RELAY.password], greeting: greeting(RELAY) }),
  ]);
  cluster.servers = { zookeeper, store, relay };
  writeFileSync(join(directory, 'password'), `${STORE.password}\n`);
  await cluster.launch({
    PHALANX__REDIS__TLS__ENABLED: 'true',
    PHALANX__REDIS__TLS__CA_FILE: tls.ca,
    PHALANX__REDIS__USER: STORE.user,
    PHALANX__REDIS__PASSWORD_FILE: join(directory, 'password'),
    PHALANX__RELAY__REDIS__SERVERS: `["127.0.0.1:${port('relay')}"]`,
    PHALANX__RELAY__REDIS__TLS__ENABLED: 'false',
  });
});

afterEach((context) => {
  closeAll();
  failed ||= context.passed === false;
});

after(() => cluster?.dispose({ failed }));

const ask = (name, { user, password }, command, part) =>
  cluster.servers[name].answers(`AUTH ${user} ${password}\r\n${command}\r\n`, part);

test('messages flow, each Redis does its own part, and no password is shown', { timeout: 120_000 }, async () => {
  const pairs = await talkers(cluster, 2);
  await all(pairs, (writer) => writer.more(20));
  await settle(pairs);
  assert.ok(await ask('relay', RELAY, 'PUBSUB CHANNELS *', ':relay:spear-1'), 'the spears listen at the Redis of the relay');
  assert.ok(await ask('relay', RELAY, 'DBSIZE', ':0'), 'nothing is stored there');
  assert.ok(await ask('store', STORE, 'PUBSUB CHANNELS *spear*', '*0\r\n'), 'nobody listens at the Redis of the store');
  const printed = await cluster.run(['--print-config']);
  assert.match(printed.stdout, /password = "\*\*\*"/);
  const logs = cluster.logged().map(([, text]) => text);
  for (const text of [printed.stdout, ...logs]) {
    for (const { password } of [STORE, RELAY]) assert.ok(!text.includes(password), text);
  }
});

test("the relay's Redis killed and started again: no send is refused, nothing is lost", { timeout: 180_000 }, async () => {
  const pairs = await talkers(cluster, 2);
  await all(pairs, (writer) => writer.more(20));
  await cluster.servers.relay.kill9();
  const lost = async () => (await cluster.readiness('spear-1')).conditions.some(({ name, ok }) => name === 'relay' && !ok);
  await until(lost, 10_000, 'readiness says that the relay is lost');
  const back = Date.now() + AWAY_MS;
  while (Date.now() < back) {
    await all(pairs, (writer) => writer.more(1));
    await pause(50);
  }
  // What it was about is found in the store meanwhile.
  for (const { clients, conversation } of pairs) {
    const [alice, bob] = clients;
    const heard = bob.in(conversation).length;
    await until(() => bob.in(conversation).length > heard, 20_000, `${bob.user} hears from ${alice.user} without the relay`);
  }
  await cluster.servers.relay.launch();
  await cluster.ready();
  await all(pairs, (writer) => writer.more(20));
  await settle(pairs);
  for (const { traffic } of pairs) assert.deepEqual(traffic.flatMap(({ refusals }) => refusals), [], 'no send is refused');
});
