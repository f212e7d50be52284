// The scripts in bin/, run as an operator runs them, and what they leave behind.

import { execFile, execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { ROOT } from './process.mjs';

// The slowest, a rolling restart, waits for one node after the other.
const BUDGET_MS = 240_000;

/** Runs bin/NAME.sh; answers its exit code and everything it printed. */
export function script(name, args = [], env = {}) {
  return new Promise((resolve) => {
    const options = { env: { ...process.env, ...env }, timeout: BUDGET_MS, cwd: tmpdir() };
    execFile(join(ROOT, 'bin', `${name}.sh`), args, options, (error, stdout, stderr) => {
      resolve({ code: error ? error.code : 0, output: stdout + stderr });
    });
  });
}

/** What tells the scripts to keep a cluster's files in `directory`, and to use its ports and those of ZooKeeper and Redis moved by `offset`. */
export function placed(directory, offset) {
  return {
    PHALANX__CLUSTER__DATA_DIR: join(directory, 'data'),
    PHALANX__INSTANCE__PORT_OFFSET: String(offset),
    PHALANX__ZOOKEEPER__SERVERS: `["127.0.0.1:${2181 + offset}"]`,
    PHALANX__REDIS__SERVERS: `["127.0.0.1:${6379 + offset}"]`,
  };
}

/** What a supervisor keeps running, by name: `{state, pid, restarts}`. `data`: where the profile's cluster keeps its files. */
export function processes(data) {
  const lines = readFileSync(join(data, 'run', 'processes'), 'utf8').trim().split('\n');
  return Object.fromEntries(
    lines
      .map((line) => line.split('\t'))
      .map(([name, state, pid, restarts]) => [name, { state, pid: Number(pid), restarts: Number(restarts) }]),
  );
}

/** Lets two users talk, with tokens signed as a back end signs them; answers what the example prints. */
export function firstConversation(data, ticketUrl) {
  const secret = readFileSync(join(data, 'secrets.env'), 'utf8').match(/HS256_SECRET='(.*)'/)[1];
  return execFileSync('node', [join(ROOT, 'examples', 'first-conversation.mjs'), ticketUrl], {
    env: { ...process.env, PHALANX__JWT__HS256_SECRET: secret },
    encoding: 'utf8',
    timeout: BUDGET_MS,
  });
}
