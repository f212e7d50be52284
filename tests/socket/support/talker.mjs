// A client that behaves well, beside those that do not.

import assert from 'node:assert/strict';

import { echoes, join } from './session.mjs';
import { WebSocketSession } from './websocket.mjs';

/** Goes on talking to the server until `stop`, which fails if a round has ever taken longer than a heartbeat may. */
export async function talker(echo) {
  const session = await WebSocketSession.open(echo);
  await join(session);
  const mostMs = echo.options.pingIntervalMs + echo.options.pingTimeoutMs;
  let talking = true;
  let rounds = 0;
  let longestMs = 0;
  const done = (async () => {
    while (talking) {
      const start = performance.now();
      await echoes(session);
      rounds += 1;
      longestMs = Math.max(longestMs, performance.now() - start);
    }
  })();
  // Told by `stop`, not by the process.
  done.catch(() => {});
  return {
    /** Answers how many rounds there were, and how long the longest took in milliseconds. */
    stop: async () => {
      talking = false;
      await done;
      assert.ok(longestMs < mostMs, `the other client once waited ${longestMs} ms`);
      return { rounds, longestMs };
    },
  };
}
