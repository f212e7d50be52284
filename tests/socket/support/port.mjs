// One free port for one server, reserved against the other test files that run at the same time.

import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// Between the ports that clusters of tests take (tests/support/ports.mjs) and those that the system gives to outgoing connections.
const FIRST = 22_000;
const LAST = 29_900;

const reservations = join(tmpdir(), 'phalanx-test-echo-ports');

/** Reserves a free port for this process. */
export async function reservePort() {
  mkdirSync(reservations, { recursive: true });
  const span = LAST - FIRST;
  const start = Math.floor(Math.random() * span);
  for (let tried = 0; tried < span; tried += 1) {
    const port = FIRST + ((start + tried) % span);
    if (!reserve(port)) continue;
    if (await isFree(port)) return port;
    releasePort(port);
  }
  throw new Error(`no port from ${FIRST} to ${LAST} is free: are old servers still running?`);
}

export function releasePort(port) {
  rmSync(join(reservations, String(port)), { force: true });
}

function reserve(port) {
  const file = join(reservations, String(port));
  try {
    const handle = openSync(file, 'wx');
    writeSync(handle, String(process.pid));
    closeSync(handle);
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
  }
  // Left behind by a run that was killed: free from the next look on.
  if (!isAlive(Number(readFileSync(file, 'utf8')))) releasePort(port);
  return false;
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function isFree(port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}
