// What was acknowledged, and whether the cluster still has it.

import assert from 'node:assert/strict';

import { history } from './client.mjs';

/** Remembers every acknowledgement of a test. */
export class Ledger {
  /** conversation → seq → {id, cid, body} */
  #conversations = new Map();

  get conversations() {
    return [...this.#conversations.keys()];
  }

  get size() {
    return [...this.#conversations.values()].reduce((sum, entries) => sum + entries.size, 0);
  }

  /** Notes an `ok` answer to a send; a `seq` that was given out twice fails at once. */
  note(answer, cid, body) {
    const entries = this.#conversations.get(answer.conversation) ?? new Map();
    this.#conversations.set(answer.conversation, entries);
    const known = entries.get(answer.seq);
    const entry = { id: answer.id, cid, body };
    if (known) assert.deepEqual(entry, known, `seq ${answer.seq} of ${answer.conversation} was acknowledged twice`);
    entries.set(answer.seq, entry);
  }

  /**
   * Reads a conversation as `reader` sees it: every acknowledged message is there, at its `seq`; no `seq` is missing; no `cid`
   * and no `id` is there twice. Answers what was stored.
   */
  async check(reader, conversation) {
    const { messages, lastSeq } = await history(reader, conversation);
    assert.deepEqual(
      messages.map((message) => message.seq),
      Array.from({ length: lastSeq }, (_, index) => index + 1),
      `the seqs of ${conversation} are 1 to ${lastSeq}`,
    );
    const acknowledged = this.#conversations.get(conversation) ?? new Map();
    for (const [seq, entry] of acknowledged) {
      const stored = messages[seq - 1];
      assert.ok(stored, `${conversation} seq ${seq} was acknowledged and is lost`);
      assert.deepEqual({ id: stored.id, cid: stored.cid, body: stored.body }, entry, `${conversation} seq ${seq}`);
    }
    for (const field of ['cid', 'id']) {
      const values = messages.map((message) => message[field]);
      assert.equal(new Set(values).size, values.length, `a ${field} of ${conversation} is stored twice`);
    }
    assert.ok(
      messages.every(({ sent_at }, index) => index === 0 || sent_at >= messages[index - 1].sent_at),
      `sent_at of ${conversation} never decreases`,
    );
    return messages;
  }
}

/** On this connection the messages of each conversation came in the order of their `seq`, each once. */
export function assertInOrder(client) {
  const last = new Map();
  for (const { conversation, seq } of client.messages) {
    const before = last.get(conversation) ?? 0;
    assert.ok(seq > before, `${client.user}: ${conversation} seq ${seq} came after ${before}`);
    last.set(conversation, seq);
  }
}
