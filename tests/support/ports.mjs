// A port offset at which every port of a cluster is free.

import { mkdirSync, openSync, closeSync, readFileSync, rmSync, rmdirSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

/**
 * The usual ports of ZooKeeper, Redis (and of another one for the relay), Kafka (and of its controller), and RocketMQ (its name server, and a
 * broker's three), those of an ensemble (`profile.mjs`), the default ports of all roles (CONTRACT §1), some at which a test starts a second
 * process, and admin ports.
 */
export const PORTS = [
  2181, 6379, 6479, 9092, 19092, 9876, 10909, 10911, 10912,
  2281, 2381, 2482, 2483, 2582, 2583, 2682, 2683,
  20000, 20001, 20002, 20100, 20101, 20102,
  30001, 30002, 30003, 30004, 30501, 30502, 30503, 30504,
  40000, 40100,
  50001, 50002, 50011, 50012,
  50100, 50101, 50110, 50111, 50120, 50121,
];
// The highest offset keeps 50122 below 65536.
const FIRST = 10_100;
const LAST = 15_300;
/** The least number of which no two of `PORTS` are a multiple apart within the offsets: no port of one cluster is one of another cluster's. */
export const STEP = 29;
/** How far apart two offsets may be. */
export const SPAN = LAST - FIRST;

// A port of which a connection went out stays taken for a minute after that: a test with thousands of connections may leave no offset free.
const FREE_MS = 90_000;
const LOOK_MS = 1_000;

// Outgoing connections get any free port of a range in which most of ours lie, also one that a node of the cluster that is just
// starting was to listen at; not those that are written here, which needs the rights for it.
const RESERVED = '/proc/sys/net/ipv4/ip_local_reserved_ports';
// Whoever holds the lock has it for much less than that.
const LOCK_STALE_MS = 5_000;
const LOCK_RETRY_MS = 5;

const reservations = join(tmpdir(), 'phalanx-test-ports');
// The Rust tests lock files there that have the numbers of ports for names.
const reservation = (offset) => join(reservations, `offset-${offset}`);

/**
 * Finds an offset and reserves it for this process: test files run as processes of their own, and two of them must not
 * choose the same one between the look and the start.
 */
export async function reserveOffset() {
  mkdirSync(reservations, { recursive: true });
  const deadline = Date.now() + FREE_MS;
  for (;;) {
    const offset = await freeOffset();
    if (offset !== undefined) return offset;
    if (Date.now() > deadline) throw new Error('no port offset is free: are old clusters still running?');
    await pause(LOOK_MS);
  }
}

async function freeOffset() {
  const span = Math.floor(SPAN / STEP) + 1;
  const start = Math.floor(Math.random() * span);
  for (let tried = 0; tried < span; tried += 1) {
    const offset = FIRST + ((start + tried) % span) * STEP;
    if (!reserve(offset)) continue;
    withhold(offset, true);
    if ((await Promise.all(PORTS.map((port) => isFree(port + offset)))).every(Boolean)) return offset;
    releaseOffset(offset);
  }
  return undefined;
}

export function releaseOffset(offset) {
  withhold(offset, false);
  rmSync(reservation(offset), { force: true });
}

/** Keeps the ports of an offset from outgoing connections, or does not any more. Without the rights for it, nothing changes. */
function withhold(offset, kept) {
  const unlock = lock();
  try {
    const ports = new Set(readFileSync(RESERVED, 'utf8').trim().split(',').filter(Boolean).flatMap(range));
    for (const port of PORTS) {
      if (kept) ports.add(port + offset);
      else ports.delete(port + offset);
    }
    writeFileSync(RESERVED, `${[...ports].join(',')}\n`);
  } catch (error) {
    if (!['EACCES', 'EROFS', 'EPERM', 'ENOENT'].includes(error.code)) throw error;
  } finally {
    unlock();
  }
}

/** `20000` or `20000-20003`. */
function range(text) {
  const [first, last = first] = text.split('-').map(Number);
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

/** One process at a time: the list is read, changed and written. Synchronous, because it is given up when a process exits. */
function lock() {
  const place = `${reservations}.lock`;
  for (;;) {
    try {
      mkdirSync(place);
      return () => rmdirSync(place);
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    const held = statSync(place, { throwIfNoEntry: false });
    if (held && Date.now() - held.mtimeMs > LOCK_STALE_MS) rmSync(place, { recursive: true, force: true });
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOCK_RETRY_MS);
  }
}

function reserve(offset) {
  const file = reservation(offset);
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
