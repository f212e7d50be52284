// The checker's own tests: files, and histories that prove nothing because they are recorded wrongly.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { check } from './check.mjs';
import { DIRECT, Script } from './script.mjs';

const CHECK = fileURLToPath(new URL('check.mjs', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'phalanx-checker-'));
after(() => rmSync(directory, { recursive: true, force: true }));

function file(events) {
  const path = join(directory, 'history.jsonl');
  writeFileSync(path, events.map((event) => `${JSON.stringify(event)}\n`).join(''));
  return path;
}

test('a file that holds, and one that does not', () => {
  const run = new Script();
  const bob = run.connect('bob');
  const alice = run.connect('alice');
  const message = run.send(alice, DIRECT, 'c1');
  run.receive(bob, message);
  run.end();
  assert.match(execFileSync(process.execPath, [CHECK, file(run.events)], { encoding: 'utf8' }), /all promises hold/);
  run.receive(bob, message);
  const { status, stdout } = spawnSync(process.execPath, [CHECK, file(run.events)], { encoding: 'utf8' });
  assert.equal(status, 1);
  assert.match(stdout, /promise 2, backwards: it came after 1\n {2}conversation u:alice:bob, seq 1, device bob\/phone/);
  assert.match(stdout, /\n {4}7: \{"is":"receive"/);
});

for (const [what, event] of Object.entries({
  'a kind that is not known': { is: 'hello' },
  'a field that is missing': { is: 'ack', connection: 0, conversation: DIRECT },
  'a connection that never began': { is: 'receive', connection: 9, conversation: DIRECT, seq: 1, id: '1', from: 'a', body: 'b' },
  'an answer to nothing': { is: 'sent', call: 9, ok: true },
})) {
  test(`${what} is an error, not a violation`, async () => {
    await assert.rejects(check(() => [event]), /line 1: /);
  });
}

test('a promise that is broken a thousand times is told ten times, and counted', async () => {
  const run = new Script();
  const alice = run.connect('alice');
  const bob = run.connect('bob');
  for (let number = 1; number <= 1000; number += 1) run.send(alice, DIRECT, `c${number}`);
  run.drained(bob);
  run.end();
  const report = await run.check();
  assert.deepEqual([...report.counts].sort(), [['undelivered', 1000], ['unresumed', 1000]]);
  assert.equal(report.violations.length, 20);
});
