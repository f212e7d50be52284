// A Python of its own with what tests/clients/python/requirements.txt names: made at the first use, and whenever that has changed.

import { execFile } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { ROOT } from './process.mjs';

const run = promisify(execFile);

export const CLIENTS = join(ROOT, 'tests', 'clients', 'python');
const REQUIREMENTS = join(CLIENTS, 'requirements.txt');
const PLACE = join(ROOT, 'tests', '.venv');
const STAMP = join(PLACE, '.installed-from');
const INSTALL_MS = 300_000;

/** The interpreter. */
export async function python() {
  const wanted = readFileSync(REQUIREMENTS, 'utf8');
  if (!existsSync(STAMP) || readFileSync(STAMP, 'utf8') !== wanted) await make(wanted);
  return join(PLACE, 'bin', 'python');
}

async function make(wanted) {
  rmSync(PLACE, { recursive: true, force: true });
  try {
    await run('python3', ['-m', 'venv', PLACE], { timeout: INSTALL_MS });
    await run(join(PLACE, 'bin', 'pip'), ['install', '--quiet', '--disable-pip-version-check', '-r', REQUIREMENTS], { timeout: INSTALL_MS });
  } catch (error) {
    throw new Error(`python-socketio and schemathesis cannot be installed (Debian's package python3-venv is needed): ${error.stderr || error.message}`);
  }
  writeFileSync(STAMP, wanted);
}
