/** What came and went on one client, newest last, bounded. */

/** The most lines that are kept; the oldest go first. */
export const MAX_LINES = 500;
/** Longer payloads are cut, so that 500 lines of them stay small. */
const MAX_PAYLOAD = 2_000;

/** To the server, from it, or about the connection itself. */
export type Direction = "out" | "in" | "note" | "error";

export interface Line {
  id: number;
  at: number;
  direction: Direction;
  event: string;
  /** What a person wants to know first; may be empty. */
  summary: string;
  text: string;
}

export class Log {
  /** What the page shows: follows the lines once a frame, so that a burst is drawn once. */
  lines: Line[] = $state.raw([]);
  /** How many went to make room. */
  dropped = $state(0);

  private kept: Line[] = [];
  private gone = 0;
  private nextId = 0;
  private drawing = false;

  /** `summary` says in words what the payload is about. */
  add(direction: Direction, event: string, payload?: unknown, summary = ""): void {
    this.kept.push({ id: this.nextId++, at: Date.now(), direction, event, summary, text: payloadText(payload) });
    if (this.kept.length > MAX_LINES) {
      this.kept.shift();
      this.gone += 1;
    }
    this.draw();
  }

  clear(): void {
    this.kept = [];
    this.gone = 0;
    this.draw();
  }

  private draw(): void {
    if (this.drawing) return;
    this.drawing = true;
    // A hidden page has no frames; a timer fires there too.
    setTimeout(() => {
      this.drawing = false;
      this.lines = [...this.kept];
      this.dropped = this.gone;
    }, 16);
  }
}

/** A payload as one readable line. */
export function payloadText(payload: unknown): string {
  if (payload === undefined) return "";
  const text = typeof payload === "string" ? payload : JSON.stringify(payload);
  return text.length > MAX_PAYLOAD ? `${text.slice(0, MAX_PAYLOAD)}… (${text.length} characters)` : text;
}
