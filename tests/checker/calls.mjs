// What was asked besides sends and changes of members, each with its answer.

const KINDS = ['recall', 'read', 'enter', 'exit', 'say', 'signal'];
// After these nobody knows whether it was done.
const OPEN = ['unavailable'];

export class Calls {
  #calls = new Map();
  #kinds = new Map(KINDS.map((kind) => [kind, []]));

  /** Takes an event, whatever it is. */
  read(event, line) {
    if (KINDS.includes(event.is)) {
      const call = { ...event, line, end: Infinity, ok: null };
      this.#calls.set(event.call, call);
      this.#kinds.get(event.is).push(call);
    } else if (event.is === 'answer') {
      const call = this.#calls.get(event.call);
      if (!call) throw new Error(`line ${line}: call ${event.call} never began`);
      if (event.ok === null || OPEN.includes(event.code)) return;
      Object.assign(call, { ok: event.ok, end: line, id: event.id });
    }
  }

  /**
   * All calls of a kind, in order: the event with its `line`, the line of its answer as `end` (infinite where nobody knows
   * whether it was done), `ok` (true, surely not done: false, or null) and `id`.
   */
  of(kind) {
    return this.#kinds.get(kind);
  }
}
