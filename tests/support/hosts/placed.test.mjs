import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { until } from '../wait.mjs';
import { Placed } from './placed.mjs';

const HERE = { command: (command, ...args) => [command, args] };

async function placed(context, ...command) {
  const logs = mkdtempSync(join(tmpdir(), 'phalanx-placed-'));
  const process = new Placed('it', HERE, { command, env: {}, logs });
  context.after(async () => {
    await process.kill9();
    rmSync(logs, { recursive: true });
  });
  process.start();
  return process;
}

const ended = (process) => until(() => !process.runs, 5_000, 'it has ended');

test('an end by itself is told once', async (context) => {
  const process = await placed(context, '/bin/sh', '-c', 'exit 3');
  await ended(process);
  assert.deepEqual(process.takeCrashes().map(({ end }) => end), [{ code: 3, signal: null }]);
  assert.deepEqual(process.takeCrashes(), []);
});

test('also one before it was started again, or killed', async (context) => {
  const process = await placed(context, '/bin/sh', '-c', 'exit 3');
  await ended(process);
  process.start();
  await ended(process);
  await process.kill9();
  assert.equal(process.takeCrashes().length, 2);
});

test('a kill is none', async (context) => {
  const process = await placed(context, '/bin/sleep', '60');
  assert.deepEqual([process.runs, process.takeCrashes()], [true, []]);
  await process.kill9();
  assert.deepEqual([process.runs, process.takeCrashes()], [false, []]);
  process.start();
  assert.deepEqual(process.takeCrashes(), []);
});
