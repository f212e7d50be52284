// Faults, one lane beside the other, until there were enough; then everything is healed.

import { LANES } from './kinds.mjs';

const HEAL_MS = 120_000;
const WATCH_MS = 500;

export class Weather {
  /** kind → how many were injected, in all rounds */
  counts = {};
  injected = 0;
  /** What ended although nobody killed it: `{name, end, at}`. */
  ended = [];
  #site;
  #log;
  #kinds;
  #held = new Set();
  #waiting = [];

  /**
   * @param site a Site
   * @param {{random: import('../../workload/random.mjs').Random, log: (line: object) => void, only?: string[], without?: string[]}} how
   *   `only` and `without` name kinds
   */
  constructor(site, { random, log, only = [], without = [] }) {
    this.#site = site;
    this.#log = log;
    const wanted = (name) => (only.length === 0 || only.includes(name)) && !without.includes(name);
    this.#kinds = LANES.map((lane) => ({
      ...lane,
      random: random.of(lane.name),
      weights: Object.fromEntries(Object.entries(lane.kinds).filter(([name]) => wanted(name)).map(([name, { weight }]) => [name, weight])),
    })).filter(({ weights }) => Object.keys(weights).length > 0);
    if (this.#kinds.length === 0) throw new Error('no kind of fault is left');
  }

  /** Injects so many more, or as many as there is time for, and heals everything. */
  async blow(count, deadline = Infinity) {
    const enough = this.injected + count;
    this.isOver = () => this.injected >= enough || performance.now() >= deadline;
    const watch = setInterval(() => this.#watch(), WATCH_MS);
    try {
      await Promise.all(this.#kinds.map((lane) => this.#lane(lane)));
    } finally {
      clearInterval(watch);
    }
    this.#watch();
    await this.#site.whole();
  }

  async #lane({ kinds, weights, random, pause }) {
    while (!this.isOver()) {
      await this.#rest(random.around(pause));
      if (this.isOver()) return;
      const kind = random.weighted(weights);
      const fault = kinds[kind].draw(this.#site, random);
      await this.#take(fault.needs);
      if (this.isOver()) return this.#give(fault.needs);
      const at = Date.now();
      const done = await fault.begin();
      if (done !== false) {
        this.injected += 1;
        this.counts[kind] = (this.counts[kind] ?? 0) + 1;
        await this.#rest(fault.ms);
      }
      // Also at the end of the storm: what was begun is healed.
      await fault.end();
      if (done !== false) this.#log({ at, fault: kind, target: fault.target, until: Date.now() });
      await fault.healed?.();
      this.#give(fault.needs);
    }
  }

  /** Waits until nobody else has any of these. */
  async #take(needs) {
    const deadline = performance.now() + HEAL_MS;
    while (needs.some((need) => this.#held.has(need))) {
      if (performance.now() > deadline) throw new Error(`${needs} were not free within ${HEAL_MS} ms`);
      await new Promise((resolve) => this.#waiting.push(resolve));
    }
    for (const need of needs) this.#held.add(need);
  }

  #give(needs) {
    for (const need of needs) this.#held.delete(need);
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** Nobody waits out a long fault of a storm that is over. */
  #rest(ms) {
    return new Promise((resolve) => {
      const began = performance.now();
      const timer = setInterval(() => {
        if (performance.now() - began < ms && !this.isOver()) return;
        clearInterval(timer);
        resolve();
      }, 50);
    });
  }

  /** A process that ends by itself is a finding; it is started again, as a supervisor does. */
  #watch() {
    for (const process of this.#site.processes) {
      if (process.runs || process.wasKilled || process.end === undefined) continue;
      this.ended.push({ name: process.name, end: process.end, at: new Date().toISOString() });
      this.#log({ at: Date.now(), ended: process.name, ...process.end });
      process.start();
    }
  }
}
