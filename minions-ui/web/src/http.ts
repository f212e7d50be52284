/** Requests with a time-out, and errors that say what was asked and why it failed. */

/** The longest that the page waits for an answer, in milliseconds. */
const TIMEOUT_MS = 8_000;

/** A request that brought no usable answer. */
export class RequestError extends Error {
  constructor(
    message: string,
    /** The HTTP status; 0 where no answer came. */
    readonly status: number,
    /** The `code` of the problem, where the answer had one. */
    readonly code: string | null,
    /** When trying again makes sense, where the answer said so; milliseconds. */
    readonly retryAfterMs: number | null,
  ) {
    super(message);
  }
}

/** Asks for JSON; `what` names the other side in errors ("ticket"). */
export async function requestJson(what: string, url: string, init: RequestInit = {}): Promise<unknown> {
  let response: Response;
  try {
    response = await fetch(url, { ...init, signal: AbortSignal.timeout(TIMEOUT_MS), cache: "no-store" });
  } catch (error) {
    const late = error instanceof DOMException && error.name === "TimeoutError";
    const reason = late ? `did not answer within ${TIMEOUT_MS / 1_000} s` : "cannot be reached";
    throw new RequestError(`${what} ${reason} (${url})`, 0, null, null);
  }
  const body: unknown = await response.json().catch(() => null);
  if (response.ok && body !== null) return body;
  if (response.ok) throw new RequestError(`${what} answered without JSON (${url})`, response.status, null, null);
  throw problem(what, response, body);
}

function problem(what: string, response: Response, body: unknown): RequestError {
  const fields = isRecord(body) ? body : {};
  const code = typeof fields.code === "string" ? fields.code : null;
  const detail = [fields.detail, fields.title].find((text) => typeof text === "string" && text !== "");
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  const reason = typeof detail === "string" ? detail : `HTTP ${response.status}`;
  return new RequestError(
    code ? `${what}: ${reason} (${code})` : `${what}: ${reason}`,
    response.status,
    code,
    Number.isFinite(seconds) ? seconds * 1_000 : null,
  );
}

/** A JSON object, as opposed to a list, a text or nothing. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
