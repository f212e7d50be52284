// bin/start.sh test2, status.sh and stop.sh, as an operator uses them: servers are started where there are none, processes are kept
// running, and only what was started is ended.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { releaseOffset, reserveOffset } from '../support/ports.mjs';
import { firstConversation, placed, processes, script } from '../support/script.mjs';
import { Server } from '../support/server.mjs';
import { until } from '../support/wait.mjs';

describe('the scripts on test2', () => {
  let directory;
  let env;
  let offset;
  let redis;
  const data = () => join(directory, 'data', 'test2');
  const table = () => processes(data());

  before(async () => {
    // With what a shell would split or take for a quote.
    directory = mkdtempSync(join(tmpdir(), "phalanx scripts' "));
    offset = await reserveOffset();
    env = placed(directory, offset);
    // One of the two servers is there already: it is used, and left alone.
    mkdirSync(join(directory, 'servers'));
    redis = await Server.start('redis', { port: 6379 + offset, directory: join(directory, 'servers') });
  });

  after(async () => {
    await script('stop', ['test2'], env);
    await redis.kill9();
    releaseOffset(offset);
    rmSync(directory, { recursive: true, force: true });
  });

  test('starting says what it starts and what it uses, and makes secrets for their owner only', async () => {
    const { code, output } = await script('start', ['test2'], env);
    assert.equal(code, 0, output);
    assert.match(output, /zookeeper: nothing answers on 127.0.0.1:\d+, so it is started/);
    assert.match(output, /redis: using what answers on 127.0.0.1:\d+/);
    assert.match(output, /made the secrets/);
    assert.match(output, new RegExp(`ticket-2 +http://127.0.0.1:${20001 + offset}\n`));
    assert.equal(statSync(join(data(), 'secrets.env')).mode & 0o077, 0);
    assert.equal(Object.keys(table()).length, 10, 'nine nodes and ZooKeeper, each a process');
  });

  test('two users talk, with a token signed as a back end signs it', async () => {
    const output = firstConversation(data(), `http://127.0.0.1:${20000 + offset}`);
    assert.match(output, /arrived .*\n.*answers/);
  });

  test('a process that dies is started again, and status shows it', async () => {
    const { pid } = table()['spear-2'];
    process.kill(pid, 'SIGKILL');
    const again = await until(
      () => {
        const row = table()['spear-2'];
        return row.state === 'up' && row.pid !== pid && row;
      },
      30_000,
      'spear-2 runs again',
    );
    assert.equal(again.restarts, 1);
    const status = await until(
      async () => {
        const { code, output } = await script('status', ['test2'], env);
        return code === 0 && output;
      },
      30_000,
      'every node is ready again',
    );
    assert.match(status, /spear-2 .*ready \(pid \d+, restarts: 1\)/);
    assert.match(status, /server +zookeeper +\(pid \d+\)/);
  });

  test('a configuration that cannot be used is refused before anything is started', async () => {
    const bad = { ...env, PHALANX__REDIS__WAIT_TIMEOUT_MS: '99999', PHALANX__CLUSTER__DATA_DIR: join(directory, 'other') };
    const { code, output } = await script('start', ['test2'], bad);
    assert.notEqual(code, 0);
    assert.match(output, /redis\.wait_timeout_ms: expected 1 to 1999, got 99999/);
  });

  test('stopping ends what was started, and nothing else', async () => {
    const pids = Object.values(table()).map((row) => row.pid);
    const { code, output } = await script('stop', ['test2'], env);
    assert.equal(code, 0, output);
    for (const pid of pids) assert.throws(() => process.kill(pid, 0), /ESRCH/, `${pid} is gone`);
    assert.ok(await redis.serves(), 'the server that was there before is still there');
    assert.equal((await script('status', ['test2'], env)).code, 3);
  });
});
