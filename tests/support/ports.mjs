// A port offset at which every port of a cluster is free.

import { mkdirSync, openSync, closeSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// The usual ports of ZooKeeper and Redis, the default ports of all roles (CONTRACT §1) and their admin ports. The highest offset keeps 50122 below 65536.
const PORTS = [
  2181, 6379,
  20000, 20001, 20100, 20101,
  30001, 30002, 30501, 30502,
  40000, 40100,
  50001, 50002, 50011, 50012,
  50100, 50101, 50110, 50111, 50120, 50121,
];
const FIRST = 10_100;
const LAST = 15_300;
const STEP = 4;

const reservations = join(tmpdir(), 'phalanx-test-ports');

/**
 * Finds an offset and reserves it for this process: test files run as processes of their own, and two of them must not
 * choose the same one between the look and the start.
 */
export async function reserveOffset() {
  mkdirSync(reservations, { recursive: true });
  const span = Math.floor((LAST - FIRST) / STEP);
  const start = Math.floor(Math.random() * span);
  for (let tried = 0; tried < span; tried += 1) {
    const offset = FIRST + ((start + tried) % span) * STEP;
    if (!reserve(offset)) continue;
    if ((await Promise.all(PORTS.map((port) => isFree(port + offset)))).every(Boolean)) return offset;
    releaseOffset(offset);
  }
  throw new Error('no port offset is free: are old clusters still running?');
}

export function releaseOffset(offset) {
  rmSync(join(reservations, String(offset)), { force: true });
}

function reserve(offset) {
  const file = join(reservations, String(offset));
  try {
    const handle = openSync(file, 'wx');
    writeSync(handle, String(process.pid));
    closeSync(handle);
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
  }
  // Left behind by a test run that was killed: forgotten, and free from the next look on.
  if (!isAlive(Number(readFileSync(file, 'utf8')))) releaseOffset(offset);
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
