// 1,000 clients that read nothing: what they cost is bounded, the heartbeat ends them, and their memory returns to the system.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { until } from '../support/wait.mjs';
import { withEcho } from './support/echo.mjs';
import { descriptorsOf, rssOf } from './support/memory.mjs';
import { RawSession } from './support/raw.mjs';
import { join } from './support/session.mjs';
import { talker } from './support/talker.mjs';

const CLIENTS = 1_000;
// Connecting all at once would only time the queue of those that wait to be accepted.
const AT_ONCE = 50;
// 1.8 MB: more than may wait for a client, here and in the system.
const MANY = 100_000;
// The default of `socket::Settings`.
const OUTGOING_BYTES = 256 << 10;
// Otherwise the system takes up to 4 MB for each, in all more than it lets TCP have: then it is the machine that stalls.
const SEND_BUFFER_BYTES = 16 << 10;
// The bound counts 32 bytes beside each frame's own. These frames are as small as they come (19 bytes): with what the allocator
// adds, and a queue that has doubled twice, they take up to twice what was counted.
const BYTES_A_COUNTED_BYTE = 2;
// Beside what waits: the session, its task, the one that emits, and a descriptor's place in the runtime.
const BYTES_A_CLIENT = 16 << 10;
// What the process itself may have grown by meanwhile: threads that were idle before, their share of the allocator.
const PROCESS_BYTES = 16 << 20;

const START_MS = 60_000;
const CLOSED_MS = 60_000;
// An allocator gives back what stays unused for a while.
const RETURNED_MS = 30_000;

const suite = withEcho({
  pingIntervalMs: 1_000,
  pingTimeoutMs: 10_000,
  outgoingBytes: OUTGOING_BYTES,
  sendBufferBytes: SEND_BUFFER_BYTES,
});

test('1,000 clients that do not read are closed, and their memory returns', async (t) => {
  if (!suite.claims(t, 'strict', 'what may wait for a client is bounded in bytes')) return;
  const { echo } = suite;
  const other = await talker(echo);
  const descriptors = descriptorsOf(echo.pid);
  const before = rssOf(echo.pid);

  const stalled = [];
  while (stalled.length < CLIENTS) {
    stalled.push(...(await Promise.all(Array.from({ length: AT_ONCE }, () => stall(echo)))));
  }
  await Promise.all(stalled.map((session) => session.send(`42["many",${MANY}]`)));

  let most = before;
  const grownBy = () => {
    most = Math.max(most, rssOf(echo.pid));
    return most - before;
  };
  const full = (CLIENTS * OUTGOING_BYTES) / 2;
  await until(() => grownBy() > full, START_MS, () => `much waits for those who do not read: ${megabytes(grownBy())}`);
  const open = () => descriptorsOf(echo.pid) - descriptors;
  await until(() => grownBy() && open() <= 0, CLOSED_MS, () => `all are closed: ${open()} are not`);

  const growth = grownBy();
  const bound = CLIENTS * (BYTES_A_COUNTED_BYTE * OUTGOING_BYTES + BYTES_A_CLIENT) + PROCESS_BYTES;
  assert.ok(growth < bound, `it grew by ${megabytes(growth)}, more than ${megabytes(bound)}`);

  const kept = () => rssOf(echo.pid) - before;
  await until(() => kept() < growth / 10, RETURNED_MS, () => `of ${megabytes(growth)} it keeps ${megabytes(kept())}`);
  const { rounds, longestMs } = await other.stop();
  t.diagnostic(
    `grew by ${megabytes(growth)} from ${megabytes(before)}, kept ${megabytes(kept())}; ` +
      `the other client had ${rounds} rounds, the longest of ${Math.round(longestMs)} ms`,
  );
});

/** A client that has joined, and reads nothing from then on. */
async function stall(echo) {
  const session = await RawSession.open(echo);
  await join(session);
  session.socket.pause();
  return session;
}

function megabytes(bytes) {
  return `${(bytes / 2 ** 20).toFixed(1)} MB`;
}
