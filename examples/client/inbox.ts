/** What has come: each message once, one after the other in each conversation, and how far all of it was taken.
 *
 * On one connection the messages of a conversation come in the order of `seq`, and what is not confirmed comes again with the next
 * connection. So whatever comes has nothing before it that is still under way, save the numbers of own sends, which come by their
 * acknowledgement; and what could not be taken need only be waited for.
 */
import type { CursorStore } from "./cursors.ts";
import type { Confirmation } from "./protocol.ts";

/** The most conversations that are held in memory; beyond it one at rest goes back to the cursor store. */
const MOST_CONVERSATIONS = 10_000;
/** The most own sends that are remembered while others' messages before them are missing; then the oldest is forgotten, and would
 * come as a message with a later connection. */
const MOST_OWN = 1_000;

/** Hands something to the application; a promise where that takes time. What it throws says that it was not taken. */
export type Take = () => Promise<unknown> | undefined;

interface Item {
  seq: number;
  take: Take;
}

class Conversation {
  readonly name: string;
  /** Everything up to here was taken, or is not meant for this device. */
  taken = 0;
  /** What was confirmed to a spear, as far as we know. */
  confirmed = 0;
  /** What came last; all before it has come, or is not meant for this device. */
  reached = 0;
  /** Own sends above `taken`. */
  readonly own = new Set<number>();
  waiting: Item[] = [];
  /** Whether the application or the cursor store has something of it in hand. */
  busy = false;
  /** This one was not taken: what comes after it is let go until it comes again. */
  blocked: number | undefined;

  constructor(name: string) {
    this.name = name;
  }

  get atRest(): boolean {
    return !this.busy && this.blocked === undefined && this.waiting.length === 0 && this.own.size === 0 && this.taken === this.confirmed;
  }
}

export interface InboxListener {
  /** Something can be confirmed. */
  moved(): void;
  /** The application did not take a message; it comes again with the next connection. */
  refused(error: unknown): void;
  /** Nothing waits any more. */
  empty(): void;
}

export class Inbox {
  #conversations = new Map<string, Conversation>();
  #cursors: CursorStore;
  #listener: InboxListener;
  /** Messages that came and were not taken yet. */
  #untaken = 0;
  /** What has moved since it was confirmed. */
  #moved = new Set<Conversation>();

  constructor(cursors: CursorStore, listener: InboxListener) {
    this.#cursors = cursors;
    this.#listener = listener;
  }

  /** How many messages wait to be taken. */
  get untaken(): number {
    return this.#untaken;
  }

  /** Takes in what came from a connection; answers whether it is new. Of what was taken before, the spear is told again. */
  receive(name: string, seq: number, take: Take): boolean {
    const conversation = this.#conversation(name);
    if (seq === conversation.blocked) conversation.blocked = undefined;
    if (conversation.blocked !== undefined && seq > conversation.blocked) return true;
    if (seq <= conversation.taken) {
      // It would not come if the spear knew.
      conversation.confirmed = Math.min(conversation.confirmed, seq - 1);
      this.#note(conversation);
      return false;
    }
    if (seq <= conversation.reached) return false;
    conversation.reached = seq;
    const known = conversation.own.has(seq);
    this.#untaken += 1;
    conversation.waiting.push({ seq, take: known ? () => undefined : take });
    this.#work(conversation);
    return !known;
  }

  /** The number of an own send. Others' messages before it may still be under way, so it counts as taken only where nothing is
   * missing before it. */
  sent(name: string, seq: number): void {
    const conversation = this.#conversation(name);
    if (seq <= conversation.taken) return;
    conversation.own.add(seq);
    if (conversation.own.size > MOST_OWN) conversation.own.delete(Math.min(...conversation.own));
    if (conversation.busy || conversation.waiting.length > 0) return;
    const before = conversation.taken;
    this.#take(conversation, before);
    if (conversation.taken > before) this.#note(conversation);
  }

  /** What was taken and not confirmed, `most` of it; it counts as confirmed from then on. */
  unconfirmed(most: number): Confirmation[] {
    const list: Confirmation[] = [];
    for (const conversation of this.#moved) {
      if (list.length === most) break;
      this.#moved.delete(conversation);
      if (conversation.taken <= conversation.confirmed) continue;
      conversation.confirmed = conversation.taken;
      list.push({ conversation: conversation.name, seq: conversation.taken });
    }
    return list;
  }

  /** A confirmation was refused or lost: it is offered again with the next ones. */
  forgetConfirmed(list: Confirmation[]): void {
    for (const { conversation: name } of list) {
      const conversation = this.#conversations.get(name);
      if (!conversation) continue;
      conversation.confirmed = 0;
      this.#moved.add(conversation);
    }
  }

  #conversation(name: string): Conversation {
    const known = this.#conversations.get(name);
    if (known) return known;
    const conversation = new Conversation(name);
    if (this.#conversations.size >= MOST_CONVERSATIONS) this.#forgetOne();
    this.#conversations.set(name, conversation);
    const cursor = this.#cursors.get(name);
    if (cursor instanceof Promise) {
      conversation.busy = true;
      void cursor.then(
        (seq) => {
          this.#begin(conversation, seq ?? 0);
          conversation.busy = false;
          this.#work(conversation);
        },
        (error: unknown) => {
          this.#conversations.delete(name);
          conversation.busy = false;
          this.#letGo(conversation);
          this.#listener.refused(error);
        },
      );
    } else {
      this.#begin(conversation, cursor ?? 0);
    }
    return conversation;
  }

  #begin(conversation: Conversation, cursor: number): void {
    conversation.confirmed = cursor;
    conversation.taken = Math.max(conversation.taken, cursor);
  }

  #forgetOne(): void {
    for (const conversation of this.#conversations.values()) {
      if (!conversation.atRest) continue;
      this.#conversations.delete(conversation.name);
      return;
    }
  }

  /** Hands out what waits, as long as the application takes it at once. */
  #work(conversation: Conversation): void {
    while (!conversation.busy) {
      const item = conversation.waiting.shift();
      if (!item) return;
      // The cursor store may have known it.
      if (item.seq <= conversation.taken) {
        this.#done(conversation, item);
        continue;
      }
      try {
        const later = item.take();
        if (!later) {
          this.#done(conversation, item);
          continue;
        }
        conversation.busy = true;
        void later.then(
          () => {
            conversation.busy = false;
            this.#done(conversation, item);
            this.#work(conversation);
          },
          (error: unknown) => {
            conversation.busy = false;
            this.#failed(conversation, item, error);
          },
        );
      } catch (error) {
        this.#failed(conversation, item, error);
      }
    }
  }

  #done(conversation: Conversation, item: Item): void {
    this.#take(conversation, item.seq);
    this.#untaken -= 1;
    this.#note(conversation);
    if (this.#untaken === 0) this.#listener.empty();
  }

  #failed(conversation: Conversation, item: Item, error: unknown): void {
    conversation.blocked = item.seq;
    conversation.reached = item.seq - 1;
    this.#untaken -= 1;
    this.#letGo(conversation);
    this.#listener.refused(error);
  }

  /** Forgets what waits: it comes again. */
  #letGo(conversation: Conversation): void {
    this.#untaken -= conversation.waiting.length;
    conversation.waiting = [];
    if (this.#untaken === 0) this.#listener.empty();
  }

  #take(conversation: Conversation, seq: number): void {
    conversation.taken = Math.max(conversation.taken, seq);
    while (conversation.own.delete(conversation.taken + 1)) conversation.taken += 1;
    for (const own of conversation.own) if (own <= conversation.taken) conversation.own.delete(own);
  }

  #note(conversation: Conversation): void {
    this.#moved.add(conversation);
    this.#listener.moved();
  }
}
