// Receipts: what a user has read only grows, and the other one learns of it.
//
//   taken back     on one connection a user's `read_seq` goes down
//   unread         a `receipt` of one who has not said to have read so far, nor written what it names
//   none of theirs a `receipt` of a conversation between others, or of a group of which nobody ever wanted them to be a member
//   soon           a `receipt` before `ready`
//   unheard        a read mark was acknowledged, and a device of the other one that was there already, and was given all the time it
//                  needed, never heard of it, nor of a later one
//
// Whoever writes has read what is before it, which nobody is told: a mark is expected only where its user wrote nothing behind it.

import { of } from './maps.mjs';

export class Receipts {
  #facts;
  #report;
  /** `conversation user` → the calls of `read`, in order */
  #read = new Map();
  /** connection → `conversation user` → `{seq, line}` */
  #last = new Map();
  /** device key → `conversation user` → the highest `read_seq` */
  #heard = new Map();

  constructor(facts, report) {
    this.#facts = facts;
    this.#report = report;
    for (const call of facts.calls.of('read')) {
      const { user } = facts.connection(call.connection, call.line);
      const key = `${call.conversation} ${user}`;
      this.#read.set(key, [...(this.#read.get(key) ?? []), { ...call, user }]);
    }
  }

  observe(event, line) {
    if (event.is === 'receipt') this.#receipt(event, line);
    if (event.is === 'disconnect') this.#last.delete(event.connection);
  }

  finish() {
    for (const calls of this.#read.values()) {
      const done = calls.filter(({ ok }) => ok).reduce((most, call) => (call.seq > (most?.seq ?? 0) ? call : most), undefined);
      if (done) this.#isHeard(done);
    }
  }

  #receipt({ connection: number, conversation: name, user, read_seq: seq }, line) {
    const connection = this.#facts.connection(number, line);
    const conversation = this.#facts.conversation(name);
    const key = `${name} ${user}`;
    const add = (rule, text, ...lines) =>
      this.#add({ rule, text, conversation: name, seq, device: connection.key, connection: number, lines: [...lines, line] });
    if (!(connection.ready < line)) add('soon', 'told before ready', connection.began, connection.ready);
    const theirs = conversation.users
      ? conversation.users.includes(connection.user)
      : this.#facts.mayHaveJoined(connection.user, conversation.group, line);
    if (!theirs) add('none of theirs', `${connection.user} has no part in it`);
    const asked = (this.#read.get(key) ?? []).filter((call) => call.line < line && call.ok !== false);
    // Whoever has read something, and wrote something behind it, has read so far.
    const written = asked.length > 0 && (conversation.sendAt(seq)?.user ?? user) === user;
    if (!written && !asked.some((call) => call.seq >= seq)) add('unread', `${user} has not read so far`, asked.at(-1)?.line);
    const last = of(this.#last, number).get(key);
    if (last && seq < last.seq) add('taken back', `${user} had read up to ${last.seq} before`, last.line);
    of(this.#last, number).set(key, { seq, line });
    const heard = of(this.#heard, connection.key);
    heard.set(key, Math.max(seq, heard.get(key) ?? 0));
  }

  #isHeard({ conversation: name, user, seq, line, end }) {
    const conversation = this.#facts.conversation(name);
    const others = (conversation.users ?? []).filter((other) => other !== user);
    if (seq > conversation.lastSeq || this.#hasWrittenBehind(conversation, user, seq)) return;
    for (const device of others.flatMap((other) => this.#facts.users.get(other) ?? [])) {
      const last = this.#facts.connections.get(device.connections.at(-1));
      if (!last.drained || !(device.ready < line) || this.#heard.get(device.key)?.get(`${name} ${user}`) >= seq) continue;
      const where = { conversation: name, seq, device: device.key, connection: last.number };
      const text = `never told that ${user} has read so far`;
      this.#add({ ...where, rule: 'unheard', text, lines: [line, end, last.began, last.drained] });
    }
  }

  #hasWrittenBehind(conversation, user, seq) {
    for (let place = seq; place <= conversation.lastSeq; place += 1) {
      const writer = conversation.sendAt(place)?.user;
      if (writer === user || writer === undefined) return true;
    }
    return false;
  }

  #add(violation) {
    this.#report.add({ promise: 'receipts', ...violation });
  }
}
