/** Confirms what was taken: gathered, first to the cursor store, then to the spear. */
import type { CursorStore } from "./cursors.ts";
import type { Inbox } from "./inbox.ts";
import type { Answer, Confirmation } from "./protocol.ts";

/** How long confirmations are gathered, in milliseconds. */
const GATHER_MS = 200;
/** The most conversations that one `ack` confirms. */
const MOST = 500;

/** Asks the spear; null where there is no answer, or nobody to ask. */
type AskSpear = (list: Confirmation | Confirmation[]) => Promise<Answer | null>;

export class Acks {
  /** Whether anything is confirmed at all. */
  enabled = true;
  #inbox: Inbox;
  #cursors: CursorStore;
  #ask: AskSpear;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #failed: (error: unknown) => void;

  constructor(inbox: Inbox, cursors: CursorStore, ask: AskSpear, failed: (error: unknown) => void) {
    this.#inbox = inbox;
    this.#cursors = cursors;
    this.#ask = ask;
    this.#failed = failed;
  }

  /** Confirms soon what has been taken by then. */
  soon(): void {
    if (!this.enabled) return;
    this.#timer ??= setTimeout(() => void this.flush(), GATHER_MS);
  }

  /** Confirms at once; resolves when the spear has answered. */
  async flush(ask: AskSpear = this.#ask): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (!this.enabled) return;
    const list = this.#inbox.unconfirmed(MOST);
    if (list.length === 0) return;
    if (!(await this.#kept(list))) return;
    const answer = await ask(list.length === 1 ? (list[0] as Confirmation) : list);
    // No answer: the next connection is given it again if it did not arrive.
    if (answer?.ok === false) this.#inbox.forgetConfirmed(list);
    if (answer?.ok && list.length === MOST) this.soon();
  }

  /** Nothing more is confirmed before the next call of `soon`. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  async #kept(list: Confirmation[]): Promise<boolean> {
    try {
      for (const { conversation, seq } of list) await this.#cursors.set(conversation, seq);
      return true;
    } catch (error) {
      this.#inbox.forgetConfirmed(list);
      this.#failed(error);
      return false;
    }
  }
}
