// bin/start.sh, status.sh and stop.sh, as a developer uses them.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { releaseOffset, reserveOffset } from '../support/ports.mjs';
import { ROOT } from '../support/process.mjs';
import { script } from '../support/script.mjs';

const BINARY = process.env.PHALANX_BIN ?? join(ROOT, 'target', 'test1', 'phalanx');

async function token(port) {
  const response = await fetch(`http://127.0.0.1:${port}/dev/token`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ user: 'alice' }),
  });
  return (await response.json()).token;
}

const DEVELOPERS = ['dev1', 'dev2'];

describe('the scripts', () => {
  let directory;
  /** By profile: the environment of its scripts. At ports of the tests' own: what stands in the profiles may be taken here. */
  const env = {};
  const offsets = {};

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'phalanx-scripts-'));
    for (const profile of DEVELOPERS) {
      offsets[profile] = await reserveOffset();
      env[profile] = {
        PHALANX__CLUSTER__DATA_DIR: join(directory, 'data'),
        PHALANX__INSTANCE__PORT_OFFSET: String(offsets[profile]),
      };
    }
  });

  after(async () => {
    for (const profile of DEVELOPERS) {
      await script('stop', [profile], env[profile]);
      releaseOffset(offsets[profile]);
    }
    rmSync(directory, { recursive: true, force: true });
  });

  test('two developers run clusters side by side', async () => {
    const tickets = DEVELOPERS.map((profile) => 20_000 + offsets[profile]);
    for (const [number, profile] of DEVELOPERS.entries()) {
      const started = await script('start', [profile], env[profile]);
      assert.equal(started.code, 0, started.output);
      assert.match(started.output, new RegExp(`ticket-1 +http://127.0.0.1:${tickets[number]}\n`));
      assert.match(started.output, /try:\n.*curl.*\n.*curl.*\n.*node examples/);
    }
    // Their keys differ: a token of one is nothing to the other.
    const [one, other] = [await token(tickets[0]), await token(tickets[1])];
    const ask = (port, bearer) =>
      fetch(`http://127.0.0.1:${port}/v1/tickets`, { method: 'POST', headers: { authorization: `Bearer ${bearer}` } });
    assert.equal((await ask(tickets[0], one)).status, 200);
    assert.equal((await ask(tickets[1], other)).status, 200);
    assert.equal((await ask(tickets[1], one)).status, 401);
  });

  test('no port of the profiles is used twice', () => {
    const ports = ['test1', ...DEVELOPERS].flatMap((profile) => {
      const nodes = execFileSync(BINARY, ['nodes', '--profile', profile], { encoding: 'utf8', cwd: ROOT });
      return [...nodes.matchAll(/:(\d+)/g)].map(([, port]) => port);
    });
    assert.ok(ports.length > 3 * 8, ports.join(' '));
    assert.equal(new Set(ports).size, ports.length, ports.join(' '));
  });

  test('status shows every node', async () => {
    const { code, output } = await script('status', ['dev1'], env.dev1);
    assert.equal(code, 0, output);
    assert.equal(output.match(/ready$/gm)?.length, 8, output);
  });

  test('starting twice says that it runs already', async () => {
    const { code, output } = await script('start', ['dev1'], env.dev1);
    assert.equal(code, 0, output);
    assert.match(output, /runs already \(pid \d+\)/);
  });

  test('a taken port is named, with who holds it', async () => {
    const holder = createServer();
    holder.listen(0, '127.0.0.1');
    await once(holder, 'listening');
    const { port } = holder.address();
    try {
      const elsewhere = {
        PHALANX__CLUSTER__DATA_DIR: join(directory, 'taken'),
        PHALANX__INSTANCE__PORT_OFFSET: '0',
        PHALANX__INSTANCE__NAMESPACE: '',
        PHALANX__TICKET__PORT: String(port),
      };
      for (const [role, base] of [['IDGEN', 25001], ['STAT', 25110], ['SPEAR', 25301], ['MINIONS_UI', 25400]]) {
        elsewhere[`PHALANX__${role}__PORT`] = `${base}++`;
        elsewhere[`PHALANX__${role}__ADMIN__PORT`] = `${base + 50}++`;
      }
      elsewhere.PHALANX__STAT__HTTP_PORT = '25210++';
      elsewhere.PHALANX__TICKET__ADMIN__PORT = '25500++';
      const { code, output } = await script('start', ['test1'], elsewhere);
      assert.notEqual(code, 0, output);
      assert.match(output, new RegExp(`port ${port} on 127.0.0.1 is taken by .*pid ${process.pid}`));
    } finally {
      holder.close();
    }
  });

  test('a missing tool is named, with how to get it', async () => {
    const path = mkdtempSync(join(directory, 'path-'));
    for (const tool of readdirSync('/usr/bin')) {
      if (!['npm', 'cc'].includes(tool)) symlinkSync(join('/usr/bin', tool), join(path, tool));
    }
    const { code, output } = await script('start', ['dev1'], { ...env.dev1, PATH: path });
    assert.equal(code, 1, output);
    assert.match(output, /npm: .*Node\.js 20/);
    assert.match(output, /cc: a C compiler/);
  });

  test('a profile that does not exist is refused with those that do', async () => {
    const { code, output } = await script('start', ['nope'], env.dev1);
    assert.equal(code, 1, output);
    assert.match(output, /no profiles\/nope.*dev1.*test1/);
  });

  test('stopping drains, and status tells that nothing runs', async () => {
    for (const profile of DEVELOPERS) {
      const stopped = await script('stop', [profile], env[profile]);
      assert.equal(stopped.code, 0, stopped.output);
      assert.match(stopped.output, /has ended/);
      const status = await script('status', [profile], env[profile]);
      assert.equal(status.code, 3, status.output);
    }
    assert.match((await script('stop', ['dev1'], env.dev1)).output, /does not run/);
  });
});
