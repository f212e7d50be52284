// Choices that a seed repeats. Each actor has a stream of its own, so that what one does in time changes nothing for the others.

import { createHash } from 'node:crypto';

export class Random {
  #name;
  #drawn = 0;

  constructor(seed) {
    this.#name = String(seed);
  }

  /** The stream of somebody else. */
  of(name) {
    return new Random(`${this.#name} ${name}`);
  }

  /** At least 0, below 1. */
  next() {
    this.#drawn += 1;
    return createHash('sha1').update(`${this.#name} ${this.#drawn}`).digest().readUInt32BE() / 2 ** 32;
  }

  /** From `first` to `last`, both among them. */
  integer(first, last) {
    return first + Math.floor(this.next() * (last - first + 1));
  }

  chance(share) {
    return this.next() < share;
  }

  pick(list) {
    return list[this.integer(0, list.length - 1)];
  }

  /** Some of a list, in another order. */
  sample(list, count) {
    const rest = [...list];
    const taken = [];
    while (taken.length < count && rest.length > 0) taken.push(...rest.splice(this.integer(0, rest.length - 1), 1));
    return taken;
  }

  /** One key of `{key: weight}`. */
  weighted(weights) {
    let left = this.next() * Object.values(weights).reduce((sum, weight) => sum + weight, 0);
    for (const [key, weight] of Object.entries(weights)) {
      left -= weight;
      if (left < 0) return key;
    }
    return Object.keys(weights).at(-1);
  }

  /** Mostly less than `mean`, now and then much more. */
  around(mean) {
    return -mean * Math.log(1 - this.next());
  }
}
