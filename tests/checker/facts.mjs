// What a history says as a whole, gathered in a first reading: who sent what, what is stored, who was connected when.

import { Calls } from './calls.mjs';
import { validate } from './history.mjs';
import { Membership } from './membership.mjs';

/** One message that somebody wanted to send: all attempts with the same user, conversation and cid. */
class Send {
  /** `{connection, device, began, body, answered?, answer?}`, in order; `began` and `answered` are lines. */
  attempts = [];

  constructor(user, conversation, cid) {
    Object.assign(this, { user, conversation, cid });
  }

  get began() {
    return this.attempts[0].began;
  }

  get body() {
    return this.attempts[0].body;
  }

  /** The attempts that were acknowledged. */
  get acknowledged() {
    return this.attempts.filter((attempt) => attempt.answer?.ok === true);
  }
}

/** One conversation: what the store has of it at the end, and when each message was surely under way. */
class Conversation {
  /** seq → the `stored` line with its number as `line`; holes where there is none. */
  stored = [];
  /** seq → the sends that were told this seq. */
  told = new Map();
  /** seq → the first line at which somebody received it. */
  received = [];
  /** seq → the send that led to what somebody received: retention may have taken it, and the sender may have no answer. */
  heard = [];
  lastSeq = 0;
  trimmed = 0;
  /** What retention may not take, the newest; undefined where nobody knows. */
  kept = undefined;
  /** The line that says that the history is complete; undefined where nobody read it. */
  complete = undefined;
  #times = undefined;

  constructor(name) {
    this.name = name;
    this.group = name.startsWith('g:') ? name.slice(2) : undefined;
    this.users = this.group === undefined ? usersOf(name) : undefined;
  }

  /** The send that led to the message at `seq`; undefined where nobody knows of one. */
  sendAt(seq) {
    return this.stored[seq]?.send ?? this.told.get(seq)?.[0] ?? this.heard[seq];
  }

  /** Whether there ever was a message at `seq`, as far as the history knows. */
  exists(seq) {
    return this.stored[seq] !== undefined || this.told.has(seq) || this.received[seq] !== undefined;
  }

  /** From which line on the message at `seq` may have been stored. */
  began(seq) {
    return this.sendAt(seq)?.began ?? 0;
  }

  /** At which line the message at `seq` surely was stored. */
  ended(seq) {
    // Where retention took it, its repetition is another message.
    const answers = (this.sendAt(seq)?.acknowledged ?? []).filter(({ answer }) => answer.seq === seq);
    return Math.min(this.received[seq] ?? Infinity, ...answers.map((attempt) => attempt.answered));
  }

  /** `began` and `ended` of every seq: `[[…], […]]`. Only once everything is read. */
  get times() {
    if (!this.#times) {
      const last = Math.max(this.stored.length, this.received.length, this.lastSeq + 1);
      const each = (of) => Float64Array.from({ length: last }, (_, seq) => of(seq));
      this.#times = [each((seq) => this.began(seq)), each((seq) => this.ended(seq))];
    }
    return this.#times;
  }
}

export class Facts {
  lines = 0;
  /** number → `{user, device, began, ready?, node?, drained?, key}`; lines, but for the names. */
  connections = new Map();
  /** `user/device` → `{user, device, key, began, ready?, first, connections: […]}`. */
  devices = new Map();
  /** user → devices */
  users = new Map();
  conversations = new Map();
  sends = new Map();
  /** What was asked besides. */
  calls = new Calls();
  /** group → its `change` events with `line`, and `end` and `ok` where they were answered. */
  #changes = new Map();
  #memberships = new Map();
  #calls = new Map();

  /** Reads all events once. */
  static async of(events) {
    const facts = new Facts();
    for await (const event of events) {
      facts.lines += 1;
      validate(event, facts.lines);
      facts.#read(event, facts.lines);
    }
    facts.#calls.clear();
    facts.#finish();
    return facts;
  }

  conversation(name) {
    let found = this.conversations.get(name);
    if (!found) this.conversations.set(name, (found = new Conversation(name)));
    return found;
  }

  connection(number, line) {
    const found = this.connections.get(number);
    if (!found) throw new Error(`line ${line}: connection ${number} never began`);
    return found;
  }

  /** When a user was a member of a conversation's group. */
  membership(user, conversation) {
    const key = `${user} ${conversation.group}`;
    let found = this.#memberships.get(key);
    if (!found) {
      const changes = (this.#changes.get(conversation.group) ?? []).filter((change) => (change.add ?? change.remove).includes(user));
      this.#memberships.set(key, (found = new Membership(changes, conversation)));
    }
    return found;
  }

  /** The lines of all changes of a user in a conversation's group. */
  changesOf(user, conversation) {
    const changes = this.#changes.get(conversation.group) ?? [];
    return changes.filter((change) => (change.add ?? change.remove).includes(user)).flatMap(({ line, end }) => [line, end]);
  }

  /** Whether somebody has asked, before `line`, that the user be a member of a group. */
  mayHaveJoined(user, group, line) {
    const changes = this.#changes.get(group) ?? [];
    return changes.some((change) => change.line < line && change.ok !== false && change.add?.includes(user));
  }

  /** Whether the user surely was a member from the message at `seq` on until the end. */
  surelyStayed(user, conversation, seq) {
    if (!this.surelyTheirs(user, conversation, seq)) return false;
    const began = conversation.sendAt(seq)?.began ?? 0;
    const changes = this.#changes.get(conversation.group) ?? [];
    return !changes.some((change) => change.remove?.includes(user) && change.ok !== false && !(change.end < began));
  }

  /** Whether the message at `seq` surely is one of the user's. */
  surelyTheirs(user, conversation, seq) {
    if (conversation.users) return conversation.users.includes(user);
    return this.membership(user, conversation).surelyIn(seq);
  }

  /** Whether the message at `seq` surely is none of the user's. */
  surelyNotTheirs(user, conversation, seq) {
    if (conversation.users) return !conversation.users.includes(user);
    return this.membership(user, conversation).surelyOut(seq);
  }

  /**
   * Whether a device must get the message at `seq`, if it connects. A user's first device gets everything of theirs, a further one
   * what was sent once it was there: what was under way when it came is left open.
   */
  isOwed(device, conversation, seq) {
    if (device.ready === undefined || seq <= conversation.trimmed) return false;
    if (!device.first && conversation.began(seq) < device.ready) return false;
    return this.surelyTheirs(device.user, conversation, seq);
  }

  /** The conversations in which a user may have anything. */
  conversationsOf(user) {
    return [...this.conversations.values()].filter((conversation) =>
      conversation.users ? conversation.users.includes(user) : !this.membership(user, conversation).isNever,
    );
  }

  #read(event, line) {
    switch (event.is) {
      case 'connect':
        return this.#connect(event, line);
      case 'ready': {
        const connection = this.connection(event.connection, line);
        Object.assign(connection, { ready: line, node: event.node });
        this.devices.get(connection.key).ready ??= line;
        return;
      }
      case 'drained':
        this.connection(event.connection, line).drained = line;
        return;
      case 'send':
        return this.#send(event, line);
      case 'sent':
        return this.#sent(event, line);
      case 'receive': {
        this.connection(event.connection, line);
        const conversation = this.conversation(event.conversation);
        conversation.received[event.seq] ??= line;
        conversation.heard[event.seq] ??= this.sends.get(`${event.from} ${conversation.name} ${event.cid}`);
        return;
      }
      case 'change': {
        const change = { ...event, line, end: Infinity, ok: null };
        this.#calls.set(`change ${event.call}`, change);
        const changes = this.#changes.get(event.group) ?? [];
        this.#changes.set(event.group, changes);
        changes.push(change);
        return;
      }
      case 'changed': {
        const change = this.#calls.get(`change ${event.call}`);
        if (!change) throw new Error(`line ${line}: change ${event.call} never began`);
        change.ok = event.ok;
        if (event.ok !== null) change.end = line;
        return;
      }
      case 'stored': {
        const conversation = this.conversation(event.conversation);
        const { seq, id, from, cid, body, sent_at, recalled_at } = event;
        const stored = { seq, id, from, cid, body, sent_at, recalled_at, line };
        // Twice at one seq is for promise 3 to say; the first one counts here.
        if (conversation.stored[seq]) (conversation.twice ??= []).push(stored);
        else conversation.stored[seq] = stored;
        return;
      }
      case 'history':
        Object.assign(this.conversation(event.conversation), {
          lastSeq: event.last_seq,
          trimmed: event.trimmed ?? 0,
          kept: event.kept,
          complete: line,
        });
        return;
      default:
        this.calls.read(event, line);
    }
  }

  #connect({ connection, user, device }, line) {
    const key = `${user}/${device}`;
    this.connections.set(connection, { number: connection, user, device, key, began: line });
    let found = this.devices.get(key);
    if (!found) {
      found = { user, device, key, began: line, ready: undefined, first: false, connections: [] };
      this.devices.set(key, found);
      const devices = this.users.get(user) ?? [];
      this.users.set(user, devices);
      devices.push(found);
    }
    found.connections.push(connection);
  }

  #send({ call, connection, user, device, conversation, cid, body }, line) {
    if (connection !== null) this.connection(connection, line);
    const key = `${user} ${conversation} ${cid}`;
    let send = this.sends.get(key);
    if (!send) this.sends.set(key, (send = new Send(user, this.conversation(conversation), cid)));
    const attempt = { connection, device, began: line, body };
    send.attempts.push(attempt);
    this.#calls.set(`send ${call}`, [send, attempt]);
  }

  #sent(event, line) {
    const [send, attempt] = this.#calls.get(`send ${event.call}`) ?? [];
    if (!send) throw new Error(`line ${line}: send ${event.call} never began`);
    if (event.ok === null) return;
    attempt.answered = line;
    const { ok, code, seq, id, sent_at, duplicate } = event;
    attempt.answer = ok ? { ok, seq, id, sent_at, duplicate } : { ok, code };
    if (!ok) return;
    const told = send.conversation.told.get(seq) ?? [];
    send.conversation.told.set(seq, told);
    if (!told.includes(send)) told.push(send);
  }

  #finish() {
    for (const conversation of this.conversations.values()) {
      for (const stored of conversation.stored) {
        if (stored) stored.send = this.sends.get(`${stored.from} ${conversation.name} ${stored.cid}`);
      }
    }
    for (const devices of this.users.values()) {
      for (const device of devices) {
        device.first = devices.every((other) => other === device || other.began > (device.ready ?? 0));
      }
    }
  }
}

/** The users of `u:<a>:<b>`. */
function usersOf(name) {
  const [kind, ...users] = name.split(':');
  if (kind !== 'u' || users.length !== 2) throw new Error(`${name} is no conversation`);
  return users.map((user) => user.replaceAll('%3A', ':'));
}
