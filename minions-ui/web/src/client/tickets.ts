/** Tokens for whichever user, which ticket of an embedded cluster signs: with the right to watch what the user is not in. */
import { PhalanxError } from "../../../../examples/client/client.ts";
import { isRecord, RequestError, requestJson } from "../http";

/** Rejects with the same errors as the rest of the road to a spear, so that one place decides what they mean. */
export async function devToken(ticketUrl: string, user: string): Promise<string> {
  const url = ticketUrl.trim().replace(/\/+$/, "");
  if (!url) throw new PhalanxError("no_address", "the address of ticket is not known; enter it above");
  const answer = await requestJson("ticket", `${url}/dev/token`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ user, scope: ["monitor"] }),
  }).catch((error: unknown) => {
    if (!(error instanceof RequestError)) throw error;
    const { code, message, status, retryAfterMs } = error;
    throw new PhalanxError(code ?? "unreachable", message, { status, retryAfterMs: retryAfterMs ?? undefined });
  });
  if (isRecord(answer) && typeof answer.token === "string") return answer.token;
  throw new PhalanxError("unreachable", "ticket answered /dev/token without a token");
}
