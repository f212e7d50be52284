/** From a token to a spear, over ticket's HTTP API. */
import { PhalanxError } from "./error.ts";
import { isRecord } from "./protocol.ts";

/** The longest that ticket is waited for, in milliseconds. */
const TIMEOUT_MS = 8_000;

/** A spear, and what lets one connection onto it. */
export interface Assignment {
  node: string;
  url: string;
  ticket: string;
}

export interface TicketRequest {
  ticketUrl: string;
  token: string;
  /** Empty: the token's, or `default`. */
  device: string;
  /** Spears that could not be reached. */
  avoid: string[];
}

/** The spear to connect to, and where to go if that one cannot be reached; best first. */
export async function askTicket({ ticketUrl, token, device, avoid }: TicketRequest): Promise<Assignment[]> {
  const url = ticketUrl.trim().replace(/\/+$/, "");
  if (!url) throw new PhalanxError("no_address", "the address of ticket is not known");
  const answer = await post(`${url}/v1/tickets`, token, { ...(device && { device }), ...(avoid.length > 0 && { avoid }) });
  const alternates = isRecord(answer) && Array.isArray(answer.alternates) ? answer.alternates : [];
  const list = [answer, ...alternates].map(readAssignment).filter((entry) => entry !== null);
  if (list.length === 0) throw new PhalanxError("unreachable", "ticket answered without a spear");
  return list;
}

async function post(url: string, token: string, body: object): Promise<unknown> {
  let response: Response;
  try {
    response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
      cache: "no-store",
    });
  } catch (error) {
    const late = error instanceof DOMException && error.name === "TimeoutError";
    throw new PhalanxError("unreachable", `ticket ${late ? `did not answer within ${TIMEOUT_MS / 1_000} s` : "cannot be reached"} (${url})`);
  }
  const answer: unknown = await response.json().catch(() => null);
  if (response.ok) return answer;
  const fields = isRecord(answer) ? answer : {};
  const code = typeof fields.code === "string" ? fields.code : "unreachable";
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  throw new PhalanxError(code, `ticket: ${String(fields.detail ?? fields.title ?? `HTTP ${response.status}`)} (${code})`, {
    status: response.status,
    retryAfterMs: Number.isFinite(seconds) ? seconds * 1_000 : undefined,
  });
}

function readAssignment(value: unknown): Assignment | null {
  if (!isRecord(value) || !isRecord(value.spear)) return null;
  const { id, url } = value.spear;
  const { ticket } = value;
  if (typeof id !== "string" || typeof url !== "string" || typeof ticket !== "string") return null;
  return { node: id, url, ticket };
}

/** When a token expires, milliseconds since the Unix epoch; undefined where it is not a JWT with an `exp`. */
export function expiryOf(token: string): number | undefined {
  try {
    const payload = (token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/");
    const claims: unknown = JSON.parse(atob(payload));
    return isRecord(claims) && typeof claims.exp === "number" ? claims.exp * 1_000 : undefined;
  } catch {
    return undefined;
  }
}
