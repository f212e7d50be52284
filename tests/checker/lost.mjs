// Promise 1: nothing acknowledged is lost.
//
//   lost         a send that was acknowledged is not in the final history at its `seq`, or there with another id or body
//   hole         the final history has no message at a `seq` between what retention took and the last one
//   unstored     something was delivered that the final history does not have
//   unsent       the final history has something that nobody sent
//   undelivered  a device that was given all the time it needed never got a message that it is owed. Its own sends it has by their
//                acknowledgement; one that was not acknowledged comes again once the device connects anew, unless the device said
//                itself that it holds everything up to it

import { Confirmed } from './confirmed.mjs';
import { at } from './maps.mjs';

export class Lost {
  #facts;
  #report;
  /** conversation → device key → set of seqs */
  #received = new Map();
  #confirmed;
  /** device key → conversation → [[from, to]] */
  #gaps = new Map();

  constructor(facts, report) {
    this.#facts = facts;
    this.#report = report;
    this.#confirmed = new Confirmed(facts);
  }

  observe(event, line) {
    switch (event.is) {
      case 'receive': {
        const conversation = this.#facts.conversation(event.conversation);
        const device = this.#deviceOf(event.connection, line);
        at(this.#received, conversation.name, device.key, () => new SeqSet()).add(event.seq);
        if (conversation.complete && !conversation.stored[event.seq] && event.seq > conversation.trimmed) {
          this.#report.add({
            promise: 1,
            rule: 'unstored',
            text: 'a message was delivered that the final history does not have',
            conversation: conversation.name,
            seq: event.seq,
            device: device.key,
            connection: event.connection,
            lines: [line, conversation.complete],
          });
        }
        return;
      }
      case 'ack':
        return this.#confirmed.observe(event, line);
      case 'gap': {
        const { key } = this.#deviceOf(event.connection, line);
        at(this.#gaps, key, event.conversation, () => []).push([event.from_seq, event.to_seq]);
      }
    }
  }

  finish() {
    for (const conversation of this.#facts.conversations.values()) {
      if (conversation.complete) this.#stored(conversation);
    }
    for (const send of this.#facts.sends.values()) {
      if (send.conversation.complete) this.#acknowledged(send);
    }
    for (const device of this.#facts.devices.values()) {
      const last = this.#facts.connections.get(device.connections.at(-1));
      if (last.drained) this.#delivered(device, last);
    }
  }

  #stored(conversation) {
    for (let seq = conversation.trimmed + 1; seq <= conversation.lastSeq; seq += 1) {
      const stored = conversation.stored[seq];
      const where = { promise: 1, conversation: conversation.name, seq };
      if (!stored) {
        const lines = [conversation.complete, conversation.stored[seq - 1]?.line, conversation.stored[seq + 1]?.line];
        this.#report.add({ ...where, rule: 'hole', text: 'the final history has no message here', lines });
      } else if (!stored.send) {
        this.#report.add({ ...where, rule: 'unsent', text: 'nobody sent what is stored here', lines: [stored.line] });
      } else if (stored.recalled_at === undefined && stored.send.body !== stored.body) {
        const lines = [stored.send.began, stored.line];
        this.#report.add({ ...where, rule: 'lost', text: 'it is stored with another body than it was sent with', lines });
      }
    }
  }

  #acknowledged(send) {
    const { conversation } = send;
    for (const { answer, answered, began, device } of send.acknowledged) {
      if (answer.seq <= conversation.trimmed) continue;
      const stored = conversation.stored[answer.seq];
      if (stored?.id === answer.id && stored.send === send) continue;
      this.#report.add({
        promise: 1,
        rule: 'lost',
        text: stored
          ? `it was acknowledged, and another message (${stored.from} ${stored.cid}) is stored in its place`
          : 'it was acknowledged, and is not in the final history',
        conversation: conversation.name,
        seq: answer.seq,
        device: device === null ? undefined : `${send.user}/${device}`,
        lines: [began, answered, stored?.line ?? conversation.complete],
      });
    }
  }

  #delivered(device, last) {
    for (const conversation of this.#facts.conversationsOf(device.user)) {
      const received = this.#received.get(conversation.name)?.get(device.key);
      for (let seq = conversation.trimmed + 1; seq <= conversation.lastSeq; seq += 1) {
        if (received?.has(seq) || !this.#facts.isOwed(device, conversation, seq)) continue;
        const send = conversation.sendAt(seq);
        if (!conversation.stored[seq] || this.#isExcused(device, conversation, seq, send, last)) continue;
        const answer = send?.acknowledged[0];
        this.#report.add({
          promise: 1,
          rule: 'undelivered',
          text: 'the device never got it',
          conversation: conversation.name,
          seq,
          device: device.key,
          connection: last.number,
          lines: [device.ready, send?.began, answer?.answered, last.began, last.drained, conversation.stored[seq].line],
        });
      }
    }
  }

  #isExcused(device, conversation, seq, send, last) {
    const gaps = this.#gaps.get(device.key)?.get(conversation.name) ?? [];
    if (gaps.some(([from, to]) => from <= seq && seq <= to)) return true;
    const own = (send?.attempts ?? []).filter((attempt) => send.user === device.user && attempt.device === device.device);
    if (own.length === 0) return false;
    if (own.some((attempt) => attempt.answer?.ok || attempt.connection === last.number)) return true;
    return seq <= this.#confirmed.at(device.key, conversation.name).seq;
  }

  #deviceOf(connection, line) {
    return this.#facts.devices.get(this.#facts.connection(connection, line).key);
  }
}

/** A set of seqs: a bit for each. */
class SeqSet {
  #bits = new Uint8Array(16);

  add(seq) {
    const place = seq >> 3;
    if (place >= this.#bits.length) {
      const grown = new Uint8Array(Math.max(place + 1, this.#bits.length * 2));
      grown.set(this.#bits);
      this.#bits = grown;
    }
    this.#bits[place] |= 1 << (seq & 7);
  }

  has(seq) {
    return ((this.#bits[seq >> 3] ?? 0) & (1 << (seq & 7))) !== 0;
  }
}
