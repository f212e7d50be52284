/** Something that was not done, with a code to decide by. */
export class PhalanxError extends Error {
  /** One of the protocol's codes, or of this helper: `no_answer`, `not_connected`, `queue_full`, `stopped`, `unreachable`, `no_address`. */
  readonly code: string;
  /** When trying again makes sense, where the other side said so; milliseconds. */
  readonly retryAfterMs: number | undefined;
  /** The HTTP status, where ticket answered. */
  readonly status: number | undefined;

  constructor(code: string, message: string, more: { retryAfterMs?: number | undefined; status?: number | undefined } = {}) {
    super(message);
    this.name = "PhalanxError";
    this.code = code;
    this.retryAfterMs = more.retryAfterMs;
    this.status = more.status;
  }
}

/** What went wrong, as a text. */
export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
