// Given users who write to one another, when the cluster's data is copied meanwhile and all of it is lost afterwards, then the copy
// brings back everything that was acknowledged before it was begun.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { Client, directConversation, history, usersOnDifferentSpears } from '../support/client.mjs';
import { Ledger } from '../support/ledger.mjs';
import { EMBEDDED } from '../support/profile.mjs';
import { unique, withCluster } from '../support/suite.mjs';
import { Traffic } from '../support/traffic.mjs';
import { until } from '../support/wait.mjs';

const REWRITE_MS = 30_000;

const suite = withCluster();
const run = promisify(execFile);

/** What docs/operations.md says of the embedded cluster. */
const embedded = {
  async copy(cluster, copy) {
    const { stdout } = await cluster.run(['backup', copy]);
    assert.match(stdout, /MiB in/);
    assert.equal(statSync(copy).mode & 0o777, 0o700, 'keys lie in it');
    await assert.rejects(cluster.run(['backup', copy]), /exists: move it away first/);
    await assert.rejects(cluster.run(['restore', copy]), /exists: move it away first/);
  },
  async lose(cluster) {
    rmSync(cluster.dataDir, { recursive: true });
  },
  async bringBack(cluster, copy) {
    await cluster.run(['restore', copy]);
  },
};

/** What docs/deployment.md says of Redis. */
const redis = {
  async copy(cluster, copy) {
    const { port } = cluster.servers.redis;
    mkdirSync(copy);
    await run('redis-cli', ['-p', String(port), '--rdb', join(copy, 'phalanx.rdb')]);
    await assert.rejects(cluster.run(['backup', join(copy, 'data')]), /store\.kind is "redis"/);
  },
  async lose(cluster) {
    const server = cluster.servers.redis;
    await server.kill9();
    rmSync(join(server.directory, 'redis'), { recursive: true });
  },
  async bringBack(cluster, copy) {
    const server = cluster.servers.redis;
    const directory = join(server.directory, 'redis');
    mkdirSync(directory);
    copyFileSync(join(copy, 'phalanx.rdb'), join(directory, 'dump.rdb'));
    server.options = ['--appendonly', 'no'];
    await server.launch();
    assert.ok(await server.answers('CONFIG SET appendonly yes\r\n', '+OK'));
    const rewritten = () => server.answers('INFO persistence\r\n', 'aof_rewrite_in_progress:0');
    await until(
      async () => existsSync(join(directory, 'appendonlydir')) && (await rewritten()),
      REWRITE_MS,
      'Redis keeps a log again',
    );
    await server.kill9();
    server.options = [];
    await server.launch();
  },
};

test('what was acknowledged before a copy was begun comes back with it', async () => {
  const { cluster } = suite;
  const { copy, lose, bringBack } = EMBEDDED ? embedded : redis;
  const place = join(cluster.directory, 'copy');
  const [alice, bob] = Object.values(await usersOnDifferentSpears(cluster, unique('u')));
  const [early, meanwhile] = [new Ledger(), new Ledger()];

  const writer = await Client.connect(cluster, alice);
  const first = new Traffic(writer, { user: bob }, early);
  await first.more(100);
  await first.stop();
  const second = new Traffic(writer, { user: bob }, meanwhile);
  await second.more(10);
  await copy(cluster, place);
  await second.more(10);
  await second.stop();

  await cluster.kill9();
  await lose(cluster);
  await bringBack(cluster, place);
  await cluster.launch();

  const reader = await Client.connect(cluster, bob);
  const conversation = directConversation(alice, bob);
  await early.check(reader, conversation);
  const { lastSeq } = await history(reader, conversation);
  assert.ok(lastSeq < early.size + meanwhile.size, 'what came after the copy is gone');
  await reader.receives(conversation, lastSeq);
  const again = await Client.connect(cluster, alice);
  assert.equal((await again.sendTo(bob, 'after')).seq, lastSeq + 1);
});
