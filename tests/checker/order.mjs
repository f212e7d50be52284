// Promise 2: order. On one connection the messages of one conversation come in `seq` order and without holes.
//
//   early       a message came before `ready`
//   backwards   a `seq` came that is not above the one before it on this connection
//   skipped     between two messages of a connection one is missing that is surely its user's
//   unresumed   a connection began, or at the end stayed, after a message that its device is owed and has not confirmed
//   time        `sent_at` decreases, or differs between the answer and the history
//   overtaken   a message that was sent only after another one was acknowledged stands before it
//
// Missing may be: what this very connection sent, what a `gap` named, and what was sent while the user may not have been a member. And what
// the device has confirmed on a newer connection: the older one may not know yet that it was replaced, and goes on from there when its
// user comes back to a group.

import { Confirmed } from './confirmed.mjs';
import { at, of } from './maps.mjs';

export class Order {
  #facts;
  #report;
  /** connection → conversation → `{seq, line}` of the last message */
  #last = new Map();
  #confirmed;
  /** conversation → connection → the highest `ack` */
  #acks = new Map();
  /** connection → conversation → [[from, to]] */
  #gaps = new Map();

  constructor(facts, report) {
    this.#facts = facts;
    this.#report = report;
    this.#confirmed = new Confirmed(facts);
  }

  observe(event, line) {
    switch (event.is) {
      case 'receive':
        return this.#receive(event, line);
      case 'ack': {
        this.#confirmed.observe(event, line);
        const acks = of(this.#acks, event.conversation);
        acks.set(event.connection, Math.max(event.seq, acks.get(event.connection) ?? 0));
        return;
      }
      case 'gap':
        return this.#gap(event);
      case 'drained':
        return this.#drained(event, line);
      case 'disconnect':
        this.#last.delete(event.connection);
        this.#gaps.delete(event.connection);
    }
  }

  finish() {
    for (const conversation of this.#facts.conversations.values()) {
      this.#times(conversation);
      this.#overtaken(conversation);
    }
  }

  #receive({ connection: number, conversation: name, seq }, line) {
    const connection = this.#facts.connection(number, line);
    const conversation = this.#facts.conversation(name);
    const places = of(this.#last, number);
    const last = places.get(name);
    const where = { promise: 2, conversation: name, seq, device: connection.key, connection: number };
    if (!(connection.ready < line)) {
      this.#report.add({ ...where, rule: 'early', text: 'it came before ready', lines: [connection.began, connection.ready, line] });
    }
    if (last && seq <= last.seq) {
      this.#report.add({ ...where, rule: 'backwards', text: `it came after ${last.seq}`, lines: [last.line, line] });
      return;
    }
    places.set(name, { seq, line });
    if (last) this.#nothingSkipped(connection, conversation, last, { seq, line });
    else this.#resumes(connection, conversation, { seq, line });
  }

  #nothingSkipped(connection, conversation, last, next) {
    for (let seq = last.seq + 1; seq < next.seq; seq += 1) {
      if (!conversation.exists(seq) || !this.#facts.surelyTheirs(connection.user, conversation, seq)) continue;
      if (this.#isExcused(connection, conversation, seq, next.line)) continue;
      this.#report.add({
        promise: 2,
        rule: 'skipped',
        text: `after ${last.seq} came ${next.seq}`,
        conversation: conversation.name,
        seq,
        device: connection.key,
        connection: connection.number,
        lines: [conversation.sendAt(seq)?.began, last.line, next.line, conversation.stored[seq]?.line],
      });
    }
  }

  /** The first message of a conversation on a connection follows what the device has confirmed. */
  #resumes(connection, conversation, next) {
    const device = this.#facts.devices.get(connection.key);
    const confirmed = this.#confirmed.at(connection.key, conversation.name);
    for (let seq = Math.max(confirmed.seq, conversation.trimmed) + 1; seq < next.seq; seq += 1) {
      if (!conversation.exists(seq) || !this.#facts.isOwed(device, conversation, seq)) continue;
      if (this.#isExcused(connection, conversation, seq, next.line)) continue;
      this.#report.add({
        promise: 2,
        rule: 'unresumed',
        text: `the device confirmed ${confirmed.seq || 'nothing'}, and this connection came to ${next.seq} without it`,
        conversation: conversation.name,
        seq,
        device: connection.key,
        connection: connection.number,
        lines: [confirmed.line, connection.began, connection.ready, next.line, conversation.stored[seq]?.line],
      });
    }
  }

  #gap({ connection, conversation, from_seq, to_seq }) {
    at(this.#gaps, connection, conversation, () => []).push([from_seq, to_seq]);
  }

  /** What should have come by now has come. */
  #drained({ connection: number }, line) {
    const connection = this.#facts.connection(number, line);
    for (const conversation of this.#facts.conversationsOf(connection.user)) {
      const end = { seq: conversation.lastSeq + 1, line };
      const last = this.#last.get(number)?.get(conversation.name);
      if (!last) this.#resumes(connection, conversation, end);
      else this.#tail(connection, conversation, last, end);
    }
  }

  /** As far as it is certain: a message may have been sent to a further device before it was there. */
  #tail(connection, conversation, last, end) {
    const device = this.#facts.devices.get(connection.key);
    for (let seq = last.seq + 1; seq < end.seq; seq += 1) {
      if (!conversation.exists(seq) || !this.#facts.isOwed(device, conversation, seq)) continue;
      if (this.#isExcused(connection, conversation, seq, end.line)) continue;
      this.#report.add({
        promise: 2,
        rule: 'unresumed',
        text: `nothing came on this connection after ${last.seq}`,
        conversation: conversation.name,
        seq,
        device: connection.key,
        connection: connection.number,
        lines: [last.line, end.line, conversation.stored[seq]?.line],
      });
    }
  }

  #isExcused(connection, conversation, seq, line) {
    const attempts = conversation.sendAt(seq)?.attempts ?? [];
    if (attempts.some((attempt) => attempt.connection === connection.number && attempt.began < line)) return true;
    const gaps = this.#gaps.get(connection.number)?.get(conversation.name) ?? [];
    if (gaps.some(([from, to]) => from <= seq && seq <= to)) return true;
    const all = this.#facts.devices.get(connection.key).connections;
    const newer = all.slice(all.indexOf(connection.number) + 1);
    return newer.some((number) => this.#acks.get(conversation.name)?.get(number) >= seq);
  }

  #times(conversation) {
    let before;
    for (const stored of conversation.stored) {
      if (!stored) continue;
      const where = { promise: 2, rule: 'time', conversation: conversation.name, seq: stored.seq };
      if (before && stored.sent_at < before.sent_at) {
        const text = `sent_at is ${stored.sent_at}, and ${before.sent_at} at ${before.seq}`;
        this.#report.add({ ...where, text, lines: [before.line, stored.line] });
      }
      before = stored;
      for (const { answer, began, answered } of stored.send?.acknowledged ?? []) {
        if (answer.seq !== stored.seq || answer.sent_at === stored.sent_at) continue;
        const text = `the answer said sent_at ${answer.sent_at}, the history says ${stored.sent_at}`;
        this.#report.add({ ...where, text, lines: [began, answered, stored.line] });
      }
    }
  }

  #overtaken(conversation) {
    const [began, ended] = conversation.times;
    let latest = 0;
    for (let seq = 1; seq < began.length; seq += 1) {
      if (!conversation.stored[seq]?.send) continue;
      if (ended[seq] < began[latest]) {
        this.#report.add({
          promise: 2,
          rule: 'overtaken',
          text: `it was stored before ${latest} was sent, and stands after it`,
          conversation: conversation.name,
          seq,
          lines: [ended[seq], began[latest], conversation.stored[latest].line, conversation.stored[seq].line],
        });
      }
      if (began[seq] > began[latest]) latest = seq;
    }
  }
}
