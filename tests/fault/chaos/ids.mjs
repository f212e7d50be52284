// Ids are unique over all rounds of a run: an id that was answered or stored stands for one message.

import { eventsOf } from '../../checker/history.mjs';

export class Ids {
  /** id → where it stands */
  #places = new Map();

  get count() {
    return this.#places.size;
  }

  /** Reads a history; answers what is there twice: `[{id, places}]`. */
  async read(path) {
    const calls = new Map();
    const twice = [];
    for await (const event of eventsOf(path)) {
      if (event.is === 'send') calls.set(event.call, event.conversation);
      if (event.is === 'sent' && event.ok) this.#note(event.id, `${calls.get(event.call)} ${event.seq}`, twice);
      if (event.is === 'sent') calls.delete(event.call);
      if (event.is === 'stored') this.#note(event.id, `${event.conversation} ${event.seq}`, twice);
    }
    return twice;
  }

  #note(id, place, twice) {
    const known = this.#places.get(id);
    if (known === undefined) this.#places.set(id, place);
    else if (known !== place) twice.push({ id, places: [known, place] });
  }
}
