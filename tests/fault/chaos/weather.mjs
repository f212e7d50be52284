// Faults, one lane beside the other, until there were enough; then everything is healed.

import { setTimeout as sleep } from 'node:timers/promises';

import { draws, lanesOf } from './draws.mjs';

// Longer than whoever has it may take: 60 s each until another primary is made, until it is known who that is, and until all follow it,
// besides the time that the fault itself lasts.
const TAKE_MS = 300_000;
const LOOK_MS = 50;

export class Weather {
  /** kind → how many were injected, in all rounds */
  counts = {};
  injected = 0;
  /** What ended although nobody killed it: `{name, end, at}`. */
  ended = [];
  #site;
  #seed;
  #log;
  #lanes;
  #held = new Set();
  #enough = 0;
  #deadline = 0;
  #stopped = false;
  /** `{error}` of the first lane that could not go on. */
  #failure;

  /**
   * @param site a Site
   * @param {{seed: number, log: (line: object) => void, only?: string[], without?: string[]}} how `only` and `without` name kinds
   */
  constructor(site, { seed, log, only, without }) {
    this.#site = site;
    this.#seed = seed;
    this.#log = log;
    this.#lanes = lanesOf({ only, without });
    if (this.#lanes.length === 0) throw new Error('no kind of fault is left');
  }

  /** Injects so many more in a round, or as many as there is time for, and heals everything. */
  async blow(round, count, deadline = Infinity) {
    this.#enough = this.injected + count;
    this.#deadline = deadline;
    // Also where one of them cannot go on the others end first: what they have under way is healed by whoever began it.
    await Promise.all(
      this.#lanes.map((lane) =>
        this.#lane(round, lane).catch((error) => {
          this.#failure ??= { error };
        }),
      ),
    );
    if (this.#failure) throw this.#failure.error;
    this.watch();
    await this.#site.whole();
  }

  /** No more faults, in this round or a later one. */
  stop() {
    this.#stopped = true;
  }

  get isStopped() {
    return this.#stopped;
  }

  get isOver() {
    return this.#stopped || this.#failure !== undefined || this.injected >= this.#enough || performance.now() >= this.#deadline;
  }

  /** Notes what has ended by itself, a finding, and starts it again, as a supervisor does. To be called all the while. */
  watch() {
    for (const process of this.#site.processes) {
      const crashes = process.takeCrashes();
      for (const { end, at } of crashes) {
        this.ended.push({ name: process.name, end, at: new Date(at).toISOString() });
        this.#log({ at, ended: process.name, ...end });
      }
      if (crashes.length > 0) process.start();
    }
  }

  async #lane(round, lane) {
    for (const { number, rest, kind, random } of draws(this.#seed, round, lane)) {
      await this.#rest(rest);
      if (this.isOver) return;
      const fault = lane.kinds[kind].draw(this.#site, random);
      if (!(await this.#take(fault.needs))) return;
      const at = Date.now();
      const done = await fault.begin();
      if (done !== false) {
        this.injected += 1;
        this.counts[kind] = (this.counts[kind] ?? 0) + 1;
        await this.#rest(fault.ms);
      }
      // Also at the end of the storm: what was begun is healed.
      await fault.end();
      if (done !== false) this.#log({ at, lane: lane.name, number, fault: kind, target: fault.target, until: Date.now() });
      if (this.#failure) return;
      await fault.healed?.();
      for (const need of fault.needs) this.#held.delete(need);
    }
  }

  /** Waits until nobody else has any of these; false where the storm is over before. */
  async #take(needs) {
    const deadline = performance.now() + TAKE_MS;
    while (needs.some((need) => this.#held.has(need))) {
      if (this.isOver) return false;
      if (performance.now() > deadline) throw new Error(`${needs} were not free within ${TAKE_MS} ms`);
      await sleep(LOOK_MS);
    }
    for (const need of needs) this.#held.add(need);
    return true;
  }

  /** Nobody waits out a long fault of a storm that is over. */
  async #rest(ms) {
    const end = performance.now() + ms;
    for (let left = ms; left > 0 && !this.isOver; left = end - performance.now()) await sleep(Math.min(LOOK_MS, left));
  }
}
