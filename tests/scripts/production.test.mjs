// profiles/production with the environment that docs/deployment.md makes: complete, and clear where something is missing.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const BINARY = process.env.PHALANX_BIN ?? join(ROOT, 'target', 'test1', 'phalanx');

/** The one block of shell of the page that has this in it. */
function block(text) {
  const page = readFileSync(join(ROOT, 'docs', 'deployment.md'), 'utf8');
  const blocks = [...page.matchAll(/```sh\n([^]*?)```/g)].map(([, code]) => code).filter((code) => code.includes(text));
  assert.equal(blocks.length, 1, `docs/deployment.md has one block with ${text}`);
  return blocks[0];
}

describe('the production profile', () => {
  let directory;
  let env;

  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'phalanx-production-'));
    const script = [
      'set -euo pipefail',
      'REDIS_PASSWORD=of-the-redis-step',
      block('NAME=a NUMBER=1'),
      block('> /etc/phalanx/host.env').replaceAll('/etc/phalanx', directory),
      block('> /etc/phalanx/secrets.env').replaceAll('/etc/phalanx', directory),
      `set -a; . ${directory}/host.env; . ${directory}/secrets.env; set +a`,
      'env',
    ].join('\n');
    const output = execFileSync('bash', ['-c', script], { env: { PATH: process.env.PATH }, encoding: 'utf8' });
    env = Object.fromEntries([...output.matchAll(/^(PHALANX__\w+)=(.*)$/gm)].map(([, name, value]) => [name, value]));
  });

  after(() => rmSync(directory, { recursive: true, force: true }));

  function phalanx(args, variables) {
    const options = { cwd: ROOT, env: { PATH: process.env.PATH, ...variables }, encoding: 'utf8' };
    const { status, stdout, stderr } = spawnSync(BINARY, [...args, '--profile', 'production'], options);
    return { status, output: stdout + stderr };
  }

  test('is in order with what the page puts into the environment', () => {
    const { status, output } = phalanx(['check-config'], env);
    assert.equal(status, 0, output);
    assert.match(output, /production: 5 nodes/);
    const nodes = phalanx(['nodes'], env).output;
    assert.match(nodes, /^spear\tspear-a\thttps:\/\/spear-a\.example\.com\thttp:\/\/10\.0\.0\.11:30501$/m);
    assert.match(nodes, /^minions-ui\tminions-ui-a\t/m);
  });

  test('names each variable that is missing', () => {
    assert.ok(Object.keys(env).length >= 20, Object.keys(env).join(' '));
    for (const missing of Object.keys(env)) {
      const { [missing]: _, ...rest } = env;
      const { status, output } = phalanx(['check-config'], rest);
      assert.equal(status, 1, `without ${missing}: ${output}`);
      assert.match(output, new RegExp(`\\b${missing}\\b`));
    }
  });

  test('shows no secret', () => {
    const { status, output } = phalanx(['--print-config'], env);
    assert.equal(status, 0, output);
    for (const [name, value] of Object.entries(env)) {
      if (!/SECRET|KEY|PASSWORD/.test(name)) continue;
      assert.ok(!output.includes(value.replace(/[[\]"]/g, '')), `${name} is printed`);
    }
  });
});
