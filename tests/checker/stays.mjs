// When somebody may have been in a room, by when they asked to go in and out, and when that was answered.

export class Stays {
  #ins;
  #outs;

  /** @param ins and outs: calls (calls.mjs) of one connection for one room */
  constructor(ins, outs) {
    this.#ins = ins.filter(({ ok }) => ok !== false);
    this.#outs = outs.filter(({ ok }) => ok === true);
  }

  /** Whether they surely were outside all the time from one line to another. */
  surelyOut(from, to) {
    const ins = this.#ins.filter(({ line }) => line <= to);
    if (ins.length === 0) return true;
    return this.#outs.some((out) => out.end < from && ins.every(({ end }) => end < out.line));
  }
}
