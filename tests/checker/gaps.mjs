// What retention has taken is named, never silently left out (promise 2), and it takes no more than it may (promise 1).
//
//   false gap      a `gap` names something that retention has not taken: by the end, or as a connection shows that began later and was
//                  given it; or it names nothing
//   gap and given  a connection was told of something that it already had, or was given something that a `gap` had named
//   foreign gap    a `gap` names what surely is not the user's
//   early gap      a `gap` before `ready`
//   silent         retention took something that was sent when the device was there, and that it has not confirmed; the connection
//                  neither got it nor heard of it
//   overtrimmed    retention took some of the newest messages, which it had to leave
//
// A hole between two messages of a connection that no `gap` names is for order.mjs to say.

import { Confirmed } from './confirmed.mjs';
import { of } from './maps.mjs';

export class Gaps {
  #facts;
  #report;
  /** connection → conversation → `{seq, line, given}`: how far it was given messages, or told that they are gone; `given`: any */
  #places = new Map();
  /** connection → conversation → [[from, to]] */
  #gaps = new Map();
  #confirmed;
  /** conversation → `{to, line}` of gaps that name more than all before them, in order */
  #taken = new Map();

  constructor(facts, report) {
    this.#facts = facts;
    this.#report = report;
    this.#confirmed = new Confirmed(facts);
  }

  observe(event, line) {
    switch (event.is) {
      case 'gap':
        return this.#gap(event, line);
      case 'receive':
        return this.#receive(event, line);
      case 'ack':
        return this.#confirmed.observe(event, line);
      case 'drained':
        return this.#drained(event, line);
      case 'disconnect':
        this.#places.delete(event.connection);
        this.#gaps.delete(event.connection);
    }
  }

  finish() {
    for (const { name, kept, trimmed, lastSeq, complete } of this.#facts.conversations.values()) {
      if (kept === undefined || trimmed <= Math.max(0, lastSeq - kept)) continue;
      const text = `the newest ${kept} of ${lastSeq} had to stay, and retention took ${trimmed}`;
      this.#report.add({ promise: 1, rule: 'overtrimmed', text, conversation: name, seq: trimmed, lines: [complete] });
    }
  }

  #gap({ connection: number, conversation: name, from_seq: from, to_seq: to }, line) {
    const connection = this.#facts.connection(number, line);
    const conversation = this.#facts.conversation(name);
    const where = { conversation: name, seq: to, device: connection.key, connection: number };
    const told = `a gap from ${from} to ${to}`;
    if (from > to || to > conversation.trimmed) {
      const text = `${told}, where retention took everything up to ${conversation.trimmed}`;
      this.#add({ ...where, rule: 'false gap', text, lines: [line, conversation.complete] });
    }
    if (!(connection.ready < line)) {
      this.#add({ ...where, rule: 'early gap', text: `${told} came before ready`, lines: [connection.began, connection.ready, line] });
    }
    const foreign = range(from, to).find((seq) => this.#facts.surelyNotTheirs(connection.user, conversation, seq));
    if (foreign !== undefined) {
      const lines = [...this.#facts.changesOf(connection.user, conversation), line];
      this.#add({ ...where, seq: foreign, rule: 'foreign gap', text: `${told}: not all is ${connection.user}'s`, lines });
    }
    const place = this.#places.get(number)?.get(name);
    if (place && from <= place.seq) {
      const text = `${told}, and the connection was at ${place.seq} already`;
      this.#add({ ...where, seq: from, rule: 'gap and given', text, lines: [place.line, line] });
    }
    const gaps = of(this.#gaps, number);
    gaps.set(name, [...(gaps.get(name) ?? []), [from, to]]);
    if (!place?.given) this.#begins(connection, conversation, { seq: from, line });
    this.#reaches(number, name, { seq: to, line, given: place?.given });
    const taken = this.#taken.get(name) ?? [];
    this.#taken.set(name, taken);
    if (to > (taken.at(-1)?.to ?? 0)) taken.push({ to, line });
  }

  #receive({ connection: number, conversation: name, seq }, line) {
    const connection = this.#facts.connection(number, line);
    const conversation = this.#facts.conversation(name);
    const where = { conversation: name, seq, device: connection.key, connection: number };
    const gap = this.#gaps.get(number)?.get(name)?.find(([from, to]) => from <= seq && seq <= to);
    if (gap) {
      const lines = [this.#places.get(number)?.get(name)?.line, line];
      this.#add({ ...where, rule: 'gap and given', text: `it came after a gap from ${gap[0]} to ${gap[1]}`, lines });
    }
    // Retention takes from the beginning: whatever is before something that is gone is gone too.
    const taken = this.#taken.get(name)?.find(({ to }) => seq <= to);
    if (taken && taken.line < connection.began) {
      const text = `a gap said that everything up to ${taken.to} is gone, and a later connection was given it`;
      this.#add({ ...where, rule: 'false gap', text, lines: [taken.line, connection.began, line] });
    }
    if (!this.#places.get(number)?.get(name)?.given) this.#begins(connection, conversation, { seq, line });
    this.#reaches(number, name, { seq, line, given: true });
  }

  #drained({ connection: number }, line) {
    const connection = this.#facts.connection(number, line);
    for (const conversation of this.#facts.conversationsOf(connection.user)) {
      const place = this.#places.get(number)?.get(conversation.name);
      const end = { seq: conversation.lastSeq + 1, line };
      if (place?.given) this.#nothingSilent(connection, conversation, place, end);
      else this.#begins(connection, conversation, end);
    }
  }

  /** The first that a connection is given of a conversation follows what the device has confirmed, or what it was told is gone. */
  #begins(connection, conversation, next) {
    const { name } = conversation;
    const [confirmed, place] = [this.#confirmed.at(connection.key, name), this.#places.get(connection.number)?.get(name)];
    this.#nothingSilent(connection, conversation, place?.seq > confirmed.seq ? place : confirmed, next);
  }

  #nothingSilent(connection, conversation, last, next) {
    const { ready } = this.#facts.devices.get(connection.key);
    for (const seq of range(last.seq + 1, Math.min(next.seq - 1, conversation.trimmed))) {
      if (!conversation.exists(seq) || !(conversation.began(seq) > ready)) continue;
      if (!this.#facts.surelyTheirs(connection.user, conversation, seq)) continue;
      const send = conversation.sendAt(seq);
      if (send.attempts.some((attempt) => attempt.connection === connection.number && attempt.began < next.line)) continue;
      this.#add({
        rule: 'silent',
        text: `retention took it; the connection went from ${last.seq} to ${next.seq} without a word`,
        conversation: conversation.name,
        seq,
        device: connection.key,
        connection: connection.number,
        lines: [ready, send.began, last.line, connection.began, next.line],
      });
    }
  }

  #reaches(number, name, place) {
    const places = of(this.#places, number);
    if (!(places.get(name)?.seq > place.seq)) places.set(name, place);
  }

  #add(violation) {
    this.#report.add({ promise: 2, ...violation });
  }
}

function range(first, last) {
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index);
}
