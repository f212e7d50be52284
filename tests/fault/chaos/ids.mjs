// Ids over all rounds of a run: an id that was answered or stored stands for one message; and where one idgen at a time serves, a call
// that began after another one had been answered has the higher id (tests/checker/ids.mjs). Times are lines of the histories, one round after
// the other.

import { checkIds } from '../../checker/ids.mjs';
import { eventsOf } from '../../checker/history.mjs';

export class Ids {
  /** id → where it stands */
  #places = new Map();
  #strict;
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
    const calls = new Map();
    const twice = [];
    const records = this.#highest ? [this.#highest] : [];
    let at = this.#lines;
    for await (const event of eventsOf(path)) {
      at += 1;
      if (event.is === 'send' || event.is === 'say') calls.set(event.call, { began: at, conversation: event.conversation });
      if (event.is === 'sent' || event.is === 'answer') {
        const call = calls.get(event.call);
        calls.delete(event.call);
        if (!call || !event.ok || event.id === undefined) continue;
        if (event.is === 'sent') this.#note(event.id, `${call.conversation} ${event.seq}`, twice);
        // The id of a repetition was cut for the first attempt.
        if (!event.duplicate) records.push({ began: call.began, ended: at, first: event.id, last: event.id });
      }
      if (event.is === 'stored') this.#note(event.id, `${event.conversation} ${event.seq}`, twice);
    }
    this.#lines = at;
    this.#highest = records.reduce((most, call) => (most && BigInt(most.last) > BigInt(call.last) ? most : call), undefined);
    const { found } = checkIds(records, { strict: this.#strict });
    return { twice, backwards: found.filter(({ rule }) => rule === 'backwards').map(({ one, other }) => `id ${other.first} after ${one.last}`) };
  }

  #note(id, place, twice) {
    const known = this.#places.get(id);
    if (known === undefined) this.#places.set(id, place);
    else if (known !== place) twice.push(`id ${id} given twice: ${known}, ${place}`);
  }
}
