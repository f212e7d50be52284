// How far each device has confirmed each conversation, as the rules see it while they read a history.

import { of } from './maps.mjs';

export class Confirmed {
  #facts;
  /** device key → conversation → `{seq, line}` of the highest `ack` */
  #highest = new Map();

  constructor(facts) {
    this.#facts = facts;
  }

  /** An `ack`, at its line of the history. */
  observe({ connection, conversation, seq }, line) {
    const highest = of(this.#highest, this.#facts.connection(connection, line).key);
    if (!(seq <= highest.get(conversation)?.seq)) highest.set(conversation, { seq, line });
  }

  /** `{seq, line}` of the highest `ack`; a `seq` of 0 and no line where there is none. */
  at(key, conversation) {
    return this.#highest.get(key)?.get(conversation) ?? { seq: 0 };
  }
}
