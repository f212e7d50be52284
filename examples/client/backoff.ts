/** How long to wait before the next attempt: doubling from half a second to 15 s, with full jitter, so that the
 * clients of a node that died do not all come back at once. */

const FIRST_MS = 500;
const LONGEST_MS = 15_000;
/** Never less, so that a broken cluster is not asked in a tight loop. */
const SHORTEST_MS = 100;

/** `failures` is how many attempts in a row failed (1 or more); `random` is in [0, 1). */
export function backoffMs(failures: number, random: number = Math.random()): number {
  const ceiling = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(failures - 1, 16));
  return Math.round(SHORTEST_MS + random * (ceiling - SHORTEST_MS));
}

/** Waits; answers whether the time has passed, `false` at once when `signal` says that nobody waits any more. */
export function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return Promise.resolve(false);
  return new Promise((resolve) => {
    const done = (passed: boolean) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", gaveUp);
      resolve(passed);
    };
    const gaveUp = () => done(false);
    const timer = setTimeout(() => done(true), ms);
    signal.addEventListener("abort", gaveUp);
  });
}
