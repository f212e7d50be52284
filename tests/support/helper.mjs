// examples/client, made JavaScript by the TypeScript compiler that the monitor's page brings, and so checked too. Kept under .build
// by what it was made of; there the official client is the one of the tests.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { ROOT } from './process.mjs';

const SOURCE = join(ROOT, 'examples', 'client');
const BUILD = join(ROOT, 'tests', '.build');
const COMPILER = join(ROOT, 'minions-ui', 'web', 'node_modules', 'typescript', 'bin', 'tsc');

function build() {
  const hash = createHash('sha256');
  const files = readdirSync(SOURCE).filter((name) => name.endsWith('.ts') || name === 'tsconfig.json');
  for (const name of files.sort()) hash.update(name).update(readFileSync(join(SOURCE, name)));
  const place = join(BUILD, `client-${hash.digest('hex').slice(0, 16)}`);
  if (existsSync(place)) return place;
  if (!existsSync(COMPILER)) throw new Error(`${COMPILER} is missing: npm ci --prefix minions-ui/web`);
  mkdirSync(BUILD, { recursive: true });
  // Somebody else may be making the same.
  const draft = mkdtempSync(join(BUILD, 'draft-'));
  try {
    execFileSync(process.execPath, [COMPILER, '-p', SOURCE, '--outDir', draft], { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' });
    renameSync(draft, place);
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    if (!existsSync(place)) throw new Error(`examples/client cannot be made: ${error.stdout || error.message}`);
  }
  return place;
}

const place = build();

/** A file of examples/client, as a module. */
export const load = (name) => import(join(place, `${name}.js`));

export const { PhalanxClient, PhalanxError, MemoryCursors, socketIo } = await load('client');
