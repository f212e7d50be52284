// Recalls: what was taken back is gone, and whoever has it is told.
//
//   unrecalled      a tombstone, or a `recalled`, of a message that its sender has not asked to take back
//   not theirs      somebody else was allowed to
//   undone          a recall was acknowledged, and the final history has the message with its body
//   remains         a tombstone that still has a body
//   body            a connection got a body after its `recalled`; or one that began after the message had surely been taken back
//   untold          a device has the body, or sent it, was given all the time it needed, and no connection of it ever got `recalled`
//   too early       a `recalled` before `ready`
//   not a member    a `recalled` to one who surely may not have the message
//   another id      a `recalled` with another id than the message has
//
// Who has left a group since, surely or perhaps, is owed nothing more, nor is anybody a `recalled` of what retention has taken.

import { NOTHING } from './history.mjs';
import { at } from './maps.mjs';

export class Recalls {
  #facts;
  #report;
  /** conversation → seq → the recalls that were asked for, those that were refused for good too */
  #asked = new Map();
  /** conversation → seq → the first line at which the message surely was a tombstone */
  #gone = new Map();
  /** conversation → seq → device keys: who has the body, of messages that somebody asked to take back */
  #holders = new Map();
  /** conversation → seq → device keys */
  #told = new Map();
  /** `connection conversation seq` → line */
  #recalled = new Map();

  constructor(facts, report) {
    this.#facts = facts;
    this.#report = report;
    for (const call of facts.calls.of('recall')) {
      const { user, key } = facts.connection(call.connection, call.line);
      at(this.#asked, call.conversation, call.seq, () => []).push({ ...call, user, key });
    }
  }

  observe(event, line) {
    if (event.is === 'receive') this.#receive(event, line);
    if (event.is === 'recalled') this.#recall(event, line);
  }

  finish() {
    for (const conversation of this.#facts.conversations.values()) {
      if (conversation.complete) for (const stored of conversation.stored) if (stored) this.#stored(conversation, stored);
    }
    for (const [name, seqs] of this.#asked) {
      for (const [seq, calls] of seqs) {
        const done = calls.find(({ ok }) => ok);
        if (done) this.#done(this.#facts.conversation(name), seq, done);
      }
    }
  }

  #receive(event, line) {
    const { connection: number, conversation: name, seq } = event;
    const { key, began } = this.#facts.connection(number, line);
    const where = { conversation: name, seq, device: key, connection: number };
    if (event.recalled_at !== undefined) {
      this.#asksFor(where, event.from, line);
      this.#isEmpty(where, event, line);
      this.#isGone(name, seq, line);
      return;
    }
    if (this.#asked.get(name)?.has(seq)) at(this.#holders, name, seq, () => new Set()).add(key);
    const recalled = this.#recalled.get(`${number} ${name} ${seq}`);
    const gone = recalled ?? this.#goneBefore(name, seq, began);
    if (gone === undefined) return;
    const text = recalled ? 'its body came after `recalled`' : 'its body came, and it had been recalled before the connection began';
    this.#add({ ...where, rule: 'body', text, lines: [...this.#lines(name, seq), gone, began, line] });
  }

  #recall({ connection: number, conversation: name, seq, id }, line) {
    const connection = this.#facts.connection(number, line);
    const conversation = this.#facts.conversation(name);
    const where = { conversation: name, seq, device: connection.key, connection: number };
    const lines = [...this.#lines(name, seq), line];
    const send = conversation.sendAt(seq);
    this.#asksFor(where, send?.user, line);
    if (!(connection.ready < line)) this.#add({ ...where, rule: 'too early', text: 'told before ready', lines });
    if (this.#facts.surelyNotTheirs(connection.user, conversation, seq)) {
      this.#add({ ...where, rule: 'not a member', text: `${connection.user} is not one of those it was sent to`, lines });
    }
    const known = conversation.stored[seq]?.id ?? send?.acknowledged.find(({ answer }) => answer.seq === seq)?.answer.id;
    if (known !== undefined && known !== id) {
      this.#add({ ...where, rule: 'another id', text: `told as ${id}, it is ${known}`, lines });
    }
    this.#isGone(name, seq, line);
    this.#recalled.set(`${number} ${name} ${seq}`, line);
    at(this.#told, name, seq, () => new Set()).add(connection.key);
  }

  #stored(conversation, stored) {
    if (stored.recalled_at === undefined) return;
    const where = { conversation: conversation.name, seq: stored.seq };
    this.#asksFor(where, stored.from, stored.line);
    this.#isEmpty(where, stored, stored.line);
  }

  /** Of a recall that was acknowledged. */
  #done(conversation, seq, done) {
    const stored = conversation.stored[seq];
    const lines = [done.line, done.end, stored?.line];
    const where = { conversation: conversation.name, seq };
    const sender = conversation.sendAt(seq)?.user ?? stored?.from;
    if (sender !== undefined && sender !== done.user) {
      this.#add({ ...where, rule: 'not theirs', text: `${done.user} took back what ${sender} sent`, lines });
    }
    if (stored && stored.recalled_at === undefined) {
      this.#add({ ...where, rule: 'undone', text: 'a recall was acknowledged, and the body is still there', lines });
    }
    if (seq > conversation.trimmed) for (const key of this.#holdersOf(conversation, seq)) this.#isTold(conversation, seq, key, lines);
  }

  /** The devices that have the body: it came, or they sent it. */
  #holdersOf(conversation, seq) {
    const own = (conversation.sendAt(seq)?.acknowledged ?? []).filter(({ answer, device }) => answer.seq === seq && device !== null);
    const sent = own.map(({ connection }) => this.#facts.connections.get(connection).key);
    return new Set([...(this.#holders.get(conversation.name)?.get(seq) ?? []), ...sent]);
  }

  #isTold(conversation, seq, key, lines) {
    const device = this.#facts.devices.get(key);
    const last = this.#facts.connections.get(device.connections.at(-1));
    if (!last.drained || this.#told.get(conversation.name)?.get(seq)?.has(key)) return;
    const { user } = device;
    if (conversation.group === undefined ? !conversation.users.includes(user) : !this.#facts.surelyStayed(user, conversation, seq)) return;
    const text = 'the device has it, and was never told that it was taken back';
    const where = { conversation: conversation.name, seq, device: key, connection: last.number };
    this.#add({ ...where, rule: 'untold', text, lines: [...lines, last.began, last.drained] });
  }

  /** Its sender has asked for it before, and was not refused for good. */
  #asksFor(where, sender, line) {
    const calls = this.#asked.get(where.conversation)?.get(where.seq) ?? [];
    if (calls.some((call) => call.line < line && call.ok !== false && (sender === undefined || call.user === sender))) return;
    const lines = [...this.#lines(where.conversation, where.seq), line];
    this.#add({ ...where, rule: 'unrecalled', text: 'its sender has not taken it back', lines });
  }

  #isEmpty(where, { body }, line) {
    if (body === NOTHING) return;
    this.#add({ ...where, rule: 'remains', text: 'it was taken back, and has a body', lines: [line] });
  }

  #isGone(name, seq, line) {
    at(this.#gone, name, seq, () => line);
  }

  /** The line at which the message surely was a tombstone, if that was before `line`. */
  #goneBefore(name, seq, line) {
    const ends = (this.#asked.get(name)?.get(seq) ?? []).filter(({ ok }) => ok).map(({ end }) => end);
    const gone = Math.min(this.#gone.get(name)?.get(seq) ?? Infinity, ...ends);
    return gone < line ? gone : undefined;
  }

  #lines(name, seq) {
    return (this.#asked.get(name)?.get(seq) ?? []).flatMap(({ line, end }) => [line, end]);
  }

  #add(violation) {
    this.#report.add({ promise: 'recalls', ...violation });
  }
}
