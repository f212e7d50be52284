/** Gives the spear a newer token before the one it knows expires. */

/** The longest time before the end at which a newer one is asked for; with less left, a fifth of it. In milliseconds. */
const MARGIN_MS = 60_000;
/** Between two attempts, at least. */
const SHORTEST_MS = 250;
/** What a timer can wait. */
const LONGEST_MS = 2 ** 31 - 1;

export class Refresher {
  /** Gets a newer token, and has the spear take it; answers when that expires. */
  #refresh: () => Promise<number>;
  #failed: (error: unknown) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Each watch has its own number: what an earlier one left behind no longer counts. */
  #watch = 0;

  constructor(refresh: () => Promise<number>, failed: (error: unknown) => void) {
    this.#refresh = refresh;
    this.#failed = failed;
  }

  /** `leftMs` is what the present token has left. Instead of an earlier one. */
  watch(leftMs: number): void {
    this.stop();
    const watch = this.#watch;
    const expires = Date.now() + leftMs;
    const wait = (left: number) => {
      const ms = Math.max(SHORTEST_MS, left * 0.8, left - MARGIN_MS);
      this.#timer = setTimeout(() => void (ms > LONGEST_MS ? wait(expires - Date.now()) : attempt()), Math.min(ms, LONGEST_MS));
    };
    const attempt = async () => {
      try {
        const next = await this.#refresh();
        if (watch === this.#watch) this.watch(next);
      } catch (error) {
        if (watch !== this.#watch) return;
        this.#failed(error);
        // Then the spear says that it has expired, and the next connection has a new one.
        if (expires > Date.now()) wait(expires - Date.now());
      }
    };
    wait(leftMs);
  }

  stop(): void {
    this.#watch += 1;
    clearTimeout(this.#timer);
  }
}
