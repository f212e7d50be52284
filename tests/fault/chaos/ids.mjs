// Ids over all rounds of a run: an id that was answered, heard or stored stands for one message, also one to a room; and where one idgen at
// a time serves, a call that began after another one had been answered has the higher id (tests/checker/ids.mjs). Times are lines of the
// histories, one round after the other.

import { checkIds } from '../../checker/ids.mjs';
import { eventsOf } from '../../checker/history.mjs';

export class Ids {
  /** id → where it stands */
  #places = new Map();
  #strict;
  #rounds = 0;
  /** The lines of the rounds before, and the call of them with the highest id. */
  #lines = 0;
  #highest = undefined;

  /** @param {{strict: boolean}} options whether order is promised, too */
  constructor({ strict }) {
    this.#strict = strict;
  }

  get count() {
    return this.#places.size;
  }

  /** Reads the history of a round; answers what is wrong, in words: `{twice: [], backwards: []}`. */
  async read(path) {
    this.#rounds += 1;
    const calls = new Map();
    /** id → what is wrong with it */
    const twice = new Map();
    const records = this.#highest ? [this.#highest] : [];
    let at = this.#lines;
    for await (const event of eventsOf(path)) {
      at += 1;
      const { is, id } = event;
      if (is === 'send' || is === 'say') calls.set(event.call, { ...event, began: at });
      if (is === 'sent' || is === 'answer') {
        const call = calls.get(event.call);
        calls.delete(event.call);
        if (!call || !event.ok || id === undefined) continue;
        const place = call.is === 'say' ? this.#said(call) : `${call.conversation} ${event.seq}`;
        this.#note(id, place, twice);
        // The id of a repetition was cut for the first attempt.
        if (!event.duplicate) records.push({ began: call.began, ended: at, first: id, last: id, place });
      }
      if (is === 'stored') this.#note(id, `${event.conversation} ${event.seq}`, twice);
      if (is === 'hear') this.#note(id, this.#said(event), twice);
    }
    this.#lines = at;
    this.#highest = records.reduce((most, call) => (most && BigInt(most.last) > BigInt(call.last) ? most : call), undefined);
    const { found } = checkIds(records, { strict: this.#strict, shown: Infinity });
    const of = (wanted) => found.filter(({ rule }) => rule === wanted);
    // Mostly the same, seen from the calls; a message that two calls were told is theirs alone is only seen here.
    for (const { one, other } of of('repeated')) {
      if (!twice.has(String(other.first))) twice.set(String(other.first), `id ${other.first} answered twice: ${one.place}, ${other.place}`);
    }
    return { twice: [...twice.values()], backwards: of('backwards').map(({ one, other }) => `id ${other.first} after ${one.last}`) };
  }

  /** What was said in a room has no seq: its mark tells it from all else of its round. */
  #said({ room, mark }) {
    return `r:${room} ${mark} of round ${this.#rounds}`;
  }

  #note(id, place, twice) {
    const known = this.#places.get(id);
    if (known === undefined) this.#places.set(id, place);
    else if (known !== place) twice.set(id, `id ${id} given twice: ${known}, ${place}`);
  }
}
