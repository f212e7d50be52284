/** Up to where this device has taken each conversation. */

/** Where that is kept. One that outlives the program spares the application what it has taken before. */
export interface CursorStore {
  /** The `seq` up to which everything was taken; undefined where nothing is known. */
  get(conversation: string): number | undefined | Promise<number | undefined>;
  /** Called before the messages are confirmed to the spear; what it throws keeps them from being confirmed. */
  set(conversation: string, seq: number): unknown;
}

/** The most conversations that are remembered; beyond it the one that moved longest ago is forgotten. */
const MOST = 100_000;

/** For as long as the program runs. */
export class MemoryCursors implements CursorStore {
  #cursors = new Map<string, number>();

  get(conversation: string): number | undefined {
    return this.#cursors.get(conversation);
  }

  set(conversation: string, seq: number): void {
    // A Map keeps the order of insertion: taken out and put in again, the first one is always the oldest.
    this.#cursors.delete(conversation);
    this.#cursors.set(conversation, seq);
    const [oldest] = this.#cursors.keys();
    if (this.#cursors.size > MOST && oldest !== undefined) this.#cursors.delete(oldest);
  }
}
