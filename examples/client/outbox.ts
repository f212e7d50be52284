/** What is to be sent: one after the other to each destination, again with the same `cid` until there is an answer. */
import { backoffMs, pause } from "./backoff.ts";
import { PhalanxError } from "./error.ts";
import type { Answer, Destination, Message, Sent } from "./protocol.ts";

/** How long a `cid` may be repeated: a spear knows it for 24 hours, after which it would be stored a second time. */
const REPEATABLE_MS = 23 * 60 * 60 * 1_000;
/** Refusals that say "not now". */
const LATER = ["unavailable", "rate_limited"];

interface Entry {
  to: Destination;
  cid: string;
  type: string;
  body: unknown;
  /** When it was given to us. */
  since: number;
  failures: number;
  resolve(sent: Sent): void;
  reject(error: PhalanxError): void;
}

/** A connection, as the outbox sees it. */
export interface Way {
  /** Sends; null where no answer came. */
  send(payload: { to: Destination; cid: string; type: string; body: unknown }): Promise<Answer | null>;
  /** Whether another connection is about to take its place: what is refused meanwhile is sent on that one. */
  leaving(): boolean;
}

interface Open {
  way: Way;
  end: AbortController;
}

export class Outbox {
  #most: number;
  #size = 0;
  #queues = new Map<string, Entry[]>();
  /** The connection that is there; its signal ends the waiting on it. */
  #open: Open | undefined;
  /** Destinations that somebody works on: over which connection, and until when. */
  #busy = new Map<string, { end: AbortController; done: Promise<void> }>();

  /** `most` sends wait at the same time; further ones are refused as `queue_full`. */
  constructor(most: number) {
    this.#most = most;
  }

  get size(): number {
    return this.#size;
  }

  /** Sends as soon as there is a connection. To one destination the order is kept: the next one goes when the one before has its
   * answer. */
  add(to: Destination, body: unknown, { cid = randomId(), type = "text" }: { cid?: string; type?: string } = {}): Promise<Sent> {
    if (this.#size >= this.#most) {
      return Promise.reject(new PhalanxError("queue_full", `${this.#most} messages wait to be sent`));
    }
    return new Promise((resolve, reject) => {
      const key = keyOf(to);
      const entry: Entry = { to, cid, type, body, since: Date.now(), failures: 0, resolve, reject };
      this.#queues.set(key, [...(this.#queues.get(key) ?? []), entry]);
      this.#size += 1;
      this.#work(key);
    });
  }

  /** A connection is ready: what waits goes over it. */
  opened(way: Way): void {
    this.closed();
    this.#open = { way, end: new AbortController() };
    for (const key of this.#queues.keys()) this.#work(key);
  }

  /** The connection is gone: what had no answer goes again over the next one. */
  closed(): void {
    this.#open?.end.abort();
    this.#open = undefined;
  }

  /** Whether a message that came is one that waits here: then it is stored, and that is its answer. */
  settle(message: Message): boolean {
    const key = keyOf(message.to);
    const entry = this.#queues.get(key)?.find((each) => each.cid === message.cid);
    if (!entry) return false;
    const { id, seq, conversation, sent_at } = message;
    this.#remove(key, entry);
    entry.resolve({ id, conversation, sent_at, duplicate: true, ...(seq !== undefined && { seq }) });
    return true;
  }

  /** There will be no connection any more. */
  fail(error: PhalanxError): void {
    const entries = [...this.#queues.values()].flat();
    this.#queues.clear();
    this.#size = 0;
    for (const entry of entries) entry.reject(error);
  }

  /** Sends what waits for a destination, over the connection that is there. What went over the one before has its answer first, or has
   * learned that it will have none. */
  #work(key: string): void {
    const open = this.#open;
    const before = this.#busy.get(key);
    if (!open || before?.end === open.end) return;
    const done = this.#drain(key, open, before?.done).then(() => {
      if (this.#busy.get(key)?.end === open.end) this.#busy.delete(key);
      // It came while the last one was on its way out.
      if (this.#head(key)) this.#work(key);
    });
    this.#busy.set(key, { end: open.end, done });
  }

  async #drain(key: string, open: Open, before: Promise<void> | undefined): Promise<void> {
    await before;
    const { signal } = open.end;
    for (let entry = this.#head(key); entry && !signal.aborted; entry = this.#head(key)) {
      const { to, cid, type, body } = entry;
      const answer = await open.way.send({ to, cid, type, body });
      // It was settled, or everything was given up, in the meantime.
      if (this.#head(key) !== entry) continue;
      if (signal.aborted && !answer?.ok) this.#unanswered(key, entry);
      else await this.#answered(key, entry, answer, open);
    }
  }

  async #answered(key: string, entry: Entry, answer: Answer | null, { way, end }: Open): Promise<void> {
    if (answer?.ok) {
      this.#remove(key, entry);
      return entry.resolve(answer as unknown as Sent);
    }
    if (!answer && !this.#unanswered(key, entry)) return;
    const error = answer?.error;
    // The new connection of this device may be known before it is ours.
    const replaced = error?.code === "forbidden" && way.leaving();
    if (error && !replaced && !LATER.includes(error.code)) {
      this.#remove(key, entry);
      return entry.reject(new PhalanxError(error.code, error.message));
    }
    if (Date.now() - entry.since > REPEATABLE_MS) {
      this.#remove(key, entry);
      return entry.reject(new PhalanxError(error?.code ?? "no_answer", "given up: its cid will soon be forgotten"));
    }
    entry.failures += 1;
    await pause(Math.max(error?.retry_after_ms ?? 0, backoffMs(entry.failures)), end.signal);
  }

  /** What goes to a room is not stored, so nobody would notice a repetition: it is not repeated. Answers whether it stays. */
  #unanswered(key: string, entry: Entry): boolean {
    if (!("room" in entry.to)) return true;
    this.#remove(key, entry);
    entry.reject(new PhalanxError("no_answer", "no answer: it may or may not have been sent"));
    return false;
  }

  #head(key: string): Entry | undefined {
    return this.#queues.get(key)?.[0];
  }

  #remove(key: string, entry: Entry): void {
    const rest = (this.#queues.get(key) ?? []).filter((each) => each !== entry);
    if (rest.length > 0) this.#queues.set(key, rest);
    else this.#queues.delete(key);
    this.#size -= 1;
  }
}

function keyOf(to: Destination): string {
  return JSON.stringify(Object.entries(to)[0]);
}

/** `randomUUID` is missing on pages that are neither served over https nor from loopback. */
function randomId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
