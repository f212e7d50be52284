// Promise 3: once.
//
//   two at one seq   a conversation's `seq` stands for two messages: delivered, answered or stored with another id, sender or body
//   one at two seqs  an id stands at two places
//   stored twice     a `cid` of one user is in one conversation twice
//   two answers      a repeated `cid` was answered with another id or `seq`, and retention had not taken the first message
//   duplicate        of several attempts two were answered as the first one; or the only attempt was answered as a repetition
//   refused          every attempt was refused for good, and the message is stored

// After these nobody knows whether it was stored.
const OPEN = ['unavailable'];

export class Once {
  #facts;
  #report;
  /** conversation → seq → `{id, from, body, line}` of what was delivered and is not in the final history */
  #delivered = new Map();

  constructor(facts, report) {
    this.#facts = facts;
    this.#report = report;
  }

  observe(event, line) {
    if (event.is !== 'receive') return;
    const { conversation: name, seq } = event;
    const known = this.#facts.conversation(name).stored[seq] ?? this.#firstDelivered(event, line);
    const differs = ['id', 'from', 'cid'].filter((field) => (known[field] ?? undefined) !== (event[field] ?? undefined));
    if (bodyOf(known) !== undefined && event.recalled_at === undefined && event.body !== bodyOf(known)) differs.push('body');
    if (differs.length === 0) return;
    this.#report.add({
      promise: 3,
      rule: 'two at one seq',
      text: `delivered with another ${differs.join(', ')}`,
      conversation: name,
      seq,
      device: this.#facts.connection(event.connection, line).key,
      connection: event.connection,
      lines: [known.line, line],
    });
  }

  finish() {
    for (const conversation of this.#facts.conversations.values()) this.#places(conversation);
    for (const send of this.#facts.sends.values()) this.#answers(send);
    this.#ids();
  }

  #firstDelivered({ conversation, seq, id, from, body, cid, recalled_at }, line) {
    let seqs = this.#delivered.get(conversation);
    if (!seqs) this.#delivered.set(conversation, (seqs = new Map()));
    const send = this.#facts.conversation(conversation).sendAt(seq);
    if (!seqs.has(seq)) seqs.set(seq, { id, from, body, cid, recalled_at, send, line });
    return seqs.get(seq);
  }

  #places(conversation) {
    for (const second of conversation.twice ?? []) {
      const first = conversation.stored[second.seq];
      this.#report.add({
        promise: 3,
        rule: 'two at one seq',
        text: 'the final history has two messages here',
        conversation: conversation.name,
        seq: second.seq,
        lines: [first.line, second.line],
      });
    }
    for (const [seq, sends] of conversation.told) {
      if (sends.length === 1) continue;
      this.#report.add({
        promise: 3,
        rule: 'two at one seq',
        text: `${sends.length} messages were acknowledged with it`,
        conversation: conversation.name,
        seq,
        lines: sends.flatMap(({ acknowledged }) => acknowledged.map(({ answered }) => answered)),
      });
    }
    const first = new Map();
    for (const stored of conversation.stored) {
      if (!stored?.send) continue;
      const before = first.get(stored.send);
      if (!before) {
        first.set(stored.send, stored);
        continue;
      }
      this.#report.add({
        promise: 3,
        rule: 'stored twice',
        text: `cid ${stored.cid} of ${stored.from} is stored at ${before.seq} too`,
        conversation: conversation.name,
        seq: stored.seq,
        lines: [...stored.send.attempts.flatMap(({ began, answered }) => [began, answered]), before.line, stored.line],
      });
    }
  }

  #answers(send) {
    const { attempts, conversation } = send;
    const newest = Math.max(...send.acknowledged.map(({ answer }) => answer.seq));
    // What retention took is sent anew by a repetition: the answers to that are the ones to compare.
    const acknowledged = send.acknowledged.filter(({ answer }) => answer.seq > conversation.trimmed || answer.seq === newest);
    const lines = attempts.flatMap(({ began, answered }) => [began, answered]);
    const where = { promise: 3, conversation: conversation.name, lines };
    if (acknowledged.length > 0) {
      const { id, seq } = acknowledged[0].answer;
      const other = acknowledged.find(({ answer }) => answer.id !== id || answer.seq !== seq);
      if (other) {
        const text = `cid ${send.cid} of ${send.user} was answered with ${id} and with ${other.answer.id}`;
        this.#report.add({ ...where, seq, rule: 'two answers', text });
      }
      const fresh = acknowledged.filter(({ answer }) => !answer.duplicate).length;
      if (fresh > 1 || (fresh === 0 && attempts.length === 1)) {
        const text = `cid ${send.cid} of ${send.user}: ${fresh} of ${attempts.length} attempts were answered as the first`;
        this.#report.add({ ...where, seq, rule: 'duplicate', text });
      }
    }
    const refused = attempts.every(({ answer }) => answer?.ok === false && !OPEN.includes(answer.code));
    const stored = refused && conversation.stored.find((each) => each?.send === send);
    if (stored) {
      const text = `cid ${send.cid} of ${send.user} was refused, and is stored`;
      this.#report.add({ ...where, seq: stored.seq, rule: 'refused', text, lines: [...lines, stored.line] });
    }
  }

  #ids() {
    const first = new Map();
    for (const conversation of this.#facts.conversations.values()) {
      for (const stored of conversation.stored) {
        if (!stored) continue;
        const before = first.get(stored.id);
        if (!before) {
          first.set(stored.id, stored);
          continue;
        }
        this.#report.add({
          promise: 3,
          rule: 'one at two seqs',
          text: `id ${stored.id} is stored twice`,
          conversation: conversation.name,
          seq: stored.seq,
          lines: [before.line, stored.line],
        });
      }
    }
  }
}

/** What the body was before it was recalled; undefined where nobody knows. */
function bodyOf({ body, recalled_at, send }) {
  return recalled_at === undefined ? body : send?.body;
}
