// From when to when a user surely was, or surely was not, a member of a group, in `seq`s.
//
// A client does not learn at which `seq` a change of members took effect. But what was stored before the change was asked for comes
// before it, and what was sent after the answer comes after it. Between the two nothing is said about a message.

/** The changes of one user in one group, against the messages of that group. */
export class Membership {
  #in = [];
  #out = [];

  /** @param changes of this user: `{line, end, ok, add or remove}`, `end` infinite where nobody knows whether it was done */
  constructor(changes, conversation) {
    const done = changes
      .filter((change) => change.ok !== false)
      .map((change) => ({ ...change, ...interval(change, conversation) }));
    const adds = done.filter((change) => change.add);
    const removes = done.filter((change) => change.remove);
    /** Nobody ever tried to add them. */
    this.isNever = adds.length === 0;
    // A change reaches until one of the other kind that was not over when it began.
    const reach = (change, others) =>
      Math.min(...others.filter((other) => !(other.end < change.line)).map((other) => other.before));
    for (const add of adds) this.#in.push([add.after, reach(add, removes)]);
    for (const remove of removes) this.#out.push([remove.after, reach(remove, adds)]);
    this.#out.push([0, Math.min(...adds.map((add) => add.before))]);
  }

  surelyIn(seq) {
    return this.#in.some(([first, last]) => first <= seq && seq <= last);
  }

  surelyOut(seq) {
    return this.#out.some(([first, last]) => first <= seq && seq <= last);
  }
}

const intervals = new WeakMap();

/** `before`: every `seq` up to this surely precedes the change. `after`: every one from this on surely follows it. */
function interval(change, conversation) {
  let found = intervals.get(change);
  if (!found) {
    const [began, ended] = conversation.times;
    found = { before: 0, after: Infinity };
    for (let seq = 1; seq < began.length; seq += 1) {
      if (ended[seq] < change.line) found.before = seq;
      if (found.after === Infinity && began[seq] > change.end) found.after = seq;
    }
    intervals.set(change, found);
  }
  return found;
}
