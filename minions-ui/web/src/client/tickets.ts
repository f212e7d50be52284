/** From a user's name to a ticket, over ticket's HTTP API (CONTRACT §2). */
import { isRecord, requestJson } from "../http";

export interface Assignment {
  node: string;
  url: string;
  ticket: string;
}

const JSON_POST = { method: "POST", headers: { "content-type": "application/json" } };

/** A token of the embedded profile, for whichever user. */
export async function devToken(ticketUrl: string, user: string): Promise<string> {
  const answer = await requestJson("ticket", `${ticketUrl}/dev/token`, { ...JSON_POST, body: JSON.stringify({ user }) });
  if (isRecord(answer) && typeof answer.token === "string") return answer.token;
  throw new Error("ticket answered /dev/token without a token");
}

/** The spear to connect to, and where to go if that one cannot be reached; best first. */
export async function assignments(ticketUrl: string, token: string, device: string, avoid: string[]): Promise<Assignment[]> {
  const body = { ...(device && { device }), ...(avoid.length > 0 && { avoid }) };
  const answer = await requestJson("ticket", `${ticketUrl}/v1/tickets`, {
    ...JSON_POST,
    headers: { ...JSON_POST.headers, authorization: `Bearer ${token}` },
    body: JSON.stringify(body),
  });
  const alternates = isRecord(answer) && Array.isArray(answer.alternates) ? answer.alternates : [];
  const list = [answer, ...alternates].map(readAssignment).filter((entry) => entry !== null);
  if (list.length === 0) throw new Error("ticket answered without a spear");
  return list;
}

export function readAssignment(value: unknown): Assignment | null {
  if (!isRecord(value) || !isRecord(value.spear)) return null;
  const { id, url } = value.spear;
  const { ticket } = value;
  if (typeof id !== "string" || typeof url !== "string" || typeof ticket !== "string") return null;
  return { node: id, url, ticket };
}
