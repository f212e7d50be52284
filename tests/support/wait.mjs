// Waiting for a condition, never for a time.

import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 10;

/**
 * Polls `predicate` until it answers something truthy, and answers that.
 *
 * @param {() => any} predicate may be async; what it throws counts as "not yet"
 * @param {number} budgetMs when to give up, in milliseconds
 * @param {string | (() => string)} what for the message
 */
export async function until(predicate, budgetMs, what) {
  const deadline = performance.now() + budgetMs;
  let lastError;
  for (;;) {
    try {
      const found = await predicate();
      if (found) return found;
      lastError = undefined;
    } catch (error) {
      lastError = error;
    }
    if (performance.now() >= deadline) {
      const text = typeof what === 'function' ? what() : what;
      const reason = lastError ? ` (last error: ${lastError.message})` : '';
      throw new Error(`not within ${budgetMs} ms: ${text}${reason}`);
    }
    await sleep(POLL_MS);
  }
}

/** Rejects when `promise` has not settled within `budgetMs`. */
export async function within(promise, budgetMs, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${budgetMs} ms: ${what}`)), budgetMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
