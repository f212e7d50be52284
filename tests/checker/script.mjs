// Writes histories by hand, for the checker's own tests: a right run in a few lines, which a test then breaks.

import { check } from './check.mjs';
import { NOTHING } from './history.mjs';

export const DIRECT = 'u:alice:bob';
export const GROUP = 'g:team';

export class Script {
  events = [];
  #connections = [];
  #calls = 0;
  /** conversation → the messages that the script's store holds, ascending */
  #stored = new Map();

  add(event) {
    this.events.push(event);
    return event;
  }

  /** A device begins to connect; answers the connection's number. */
  connecting(user, device = 'phone') {
    const connection = this.#connections.length;
    this.#connections.push({ user, device });
    this.add({ is: 'connect', connection, user, device });
    return connection;
  }

  connect(user, device, node) {
    const connection = this.connecting(user, device);
    this.add({ is: 'ready', connection, node });
    return connection;
  }

  disconnect(connection) {
    this.add({ is: 'disconnect', connection, why: 'a test' });
  }

  /** A send begins; answers its call. */
  sending(connection, conversation, cid, body = `body of ${cid}`) {
    this.#calls += 1;
    const { user, device } = this.#connections[connection];
    this.add({ is: 'send', call: this.#calls, connection, user, device, conversation, cid, body });
    return this.#calls;
  }

  /** The store takes what `call` sent; nobody is answered. */
  store(call) {
    const { conversation, user, cid, body } = this.#send(call);
    const messages = this.#stored.get(conversation) ?? [];
    this.#stored.set(conversation, messages);
    const seq = messages.length + 1;
    const message = { conversation, seq, id: `${conversation} ${seq}`, from: user, cid, body, sent_at: 1000 + seq };
    messages.push(message);
    return message;
  }

  answer(call, message, more = {}) {
    const { seq, id, sent_at } = message;
    return this.add({ is: 'sent', call, ok: true, seq, id, sent_at, duplicate: false, ...more });
  }

  refuse(call, code) {
    return this.add({ is: 'sent', call, ok: false, code });
  }

  /** Sent, stored and acknowledged; answers the message. */
  send(connection, conversation, cid) {
    const call = this.sending(connection, conversation, cid);
    const message = this.store(call);
    this.answer(call, message);
    return message;
  }

  receive(connection, ...messages) {
    for (const { conversation, seq, id, from, cid, body, recalled_at } of messages) {
      this.add({ is: 'receive', connection, conversation, seq, id, from, cid, body, recalled_at });
    }
  }

  ack(connection, { conversation, seq }) {
    this.add({ is: 'ack', connection, conversation, seq });
    this.add({ is: 'acked', connection, conversation, seq });
  }

  gap(connection, conversation, from_seq, to_seq) {
    this.add({ is: 'gap', connection, conversation, from_seq, to_seq });
  }

  /** A change of members; `ok` null is one that nobody answered. */
  change(what, users, ok = true) {
    this.#calls += 1;
    this.add({ is: 'change', call: this.#calls, group: 'team', [what]: users });
    if (ok !== null) this.add({ is: 'changed', call: this.#calls, ok });
  }

  /** A call; `ok` null is one that nobody answered. Answers its number. */
  call(is, connection, more, { ok = true, ...answer } = {}) {
    this.#calls += 1;
    const call = this.#calls;
    this.add({ is, call, connection, ...more });
    if (ok !== null) this.add({ is: 'answer', call, ok, ...answer });
    return call;
  }

  /** A message is taken back; where it was acknowledged, the store's one becomes a tombstone. */
  recall(connection, message, { ok = true, code } = {}) {
    const { conversation, seq } = message;
    this.call('recall', connection, { conversation, seq }, { ok, code });
    if (ok) Object.assign(message, { body: NOTHING, recalled_at: 2000 + seq });
  }

  recalled(connection, { conversation, seq, id }) {
    this.add({ is: 'recalled', connection, conversation, seq, id });
  }

  drained(...connections) {
    for (const connection of connections) this.add({ is: 'drained', connection });
  }

  /** The final history as the store has it; `change` may break a message (undefined: it is not there). */
  end({ trimmed = 0, kept, change = (message) => message } = {}) {
    for (const [conversation, messages] of this.#stored) {
      for (const message of messages.filter(({ seq }) => seq > trimmed)) {
        const stored = change({ ...message });
        if (stored) this.add({ is: 'stored', ...stored });
      }
      this.add({ is: 'history', conversation, last_seq: messages.length, trimmed, kept });
    }
  }

  check() {
    return check(() => this.events);
  }

  #send(call) {
    return this.events.find((event) => event.is === 'send' && event.call === call);
  }
}
