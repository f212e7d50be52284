/** One simulated user on one device: ticket, connection, messages, and coming back after a cut. */
import { io, type Socket } from "socket.io-client";
import { isRecord, RequestError } from "../http";
import { backoffMs } from "./backoff";
import { Held } from "./held";
import { Log, payloadText } from "./log.svelte";
import { assignments, devToken, type Assignment } from "./tickets";

/** How long received messages are gathered before they are confirmed together. */
const ACK_AFTER_MS = 200;
/** How long an acknowledgement is waited for. */
const ANSWER_MS = 10_000;
/** How long the transport and the server's `ready` are waited for. */
const CONNECT_MS = 10_000;
/** The most sends that wait for an acknowledgement; further ones are refused. */
const MAX_PENDING = 100;

export type Status = "offline" | "asking for a ticket" | "connecting" | "connected" | "waiting" | "stopped";

/** The kinds of address a message can go to. */
export type TargetKind = "user" | "group" | "room";

interface Send {
  to: Partial<Record<TargetKind, string>>;
  cid: string;
  type: string;
  body: unknown;
}

/** What the server answers to an event. */
type Answer = { ok: true; [field: string]: unknown } | { ok: false; error?: { code?: string; message?: string } };

/** Codes by which a node says that another one is the better choice. */
const REFUSALS_OF_THE_NODE = ["draining", "overloaded"];

export class SimulatedClient {
  user = $state("");
  device = $state("");
  /** A token of one's own; empty asks ticket's `/dev/token`. */
  token = $state("");
  /** Confirm what arrives. */
  confirms = $state(true);
  status: Status = $state("offline");
  /** The node that holds the connection. */
  node: string | null = $state(null);
  /** Why it is not connected, or was not. */
  problem: string | null = $state(null);
  /** How many messages arrived and were new. */
  received = $state(0);
  readonly log = new Log();

  /** Whether the user asked for a connection and it was not given up. */
  readonly wanted = $derived(this.status !== "offline" && this.status !== "stopped");

  private readonly ticketUrl: () => string;
  private held = new Held();
  private socket: Socket | null = null;
  private readonly pending = new Map<string, Send>();
  private failures = 0;
  private avoid: string[] = [];
  private retry: ReturnType<typeof setTimeout> | undefined;
  private ackTimer: ReturnType<typeof setTimeout> | undefined;
  /** Each attempt has its own number: what an earlier one left behind no longer counts. */
  private attempt = 0;
  private identity = "";

  constructor(user: string, device: string, ticketUrl: () => string) {
    this.user = user;
    this.device = device;
    this.ticketUrl = ticketUrl;
  }

  /** Connects, and stays connected until `disconnect` or a refusal for good. */
  connect(): void {
    const identity = JSON.stringify([this.user, this.device]);
    if (identity !== this.identity) {
      // Another user or device holds nothing of what this one held.
      this.held = new Held();
      this.pending.clear();
      this.received = 0;
      this.identity = identity;
    }
    this.failures = 0;
    this.avoid = [];
    this.problem = null;
    void this.open();
  }

  disconnect(): void {
    this.close();
    this.status = "offline";
    this.problem = null;
    this.log.add("note", "disconnected", "by you");
  }

  /** Sends a message. Without an answer it is sent again after the reconnect, with the same `cid`. */
  send(kind: TargetKind, name: string, body: unknown): void {
    if (this.pending.size >= MAX_PENDING) {
      this.log.add("error", "send", `not sent: ${MAX_PENDING} messages are waiting for an answer`);
      return;
    }
    const send: Send = { to: { [kind]: name }, cid: crypto.randomUUID?.() ?? randomId(), type: "text", body };
    this.pending.set(send.cid, send);
    void this.dispatch(send);
  }

  /** Emits any event, for trying the protocol out. */
  async emit(event: string, payload: unknown, summary = ""): Promise<Answer | null> {
    const socket = this.socket;
    if (!socket?.connected) {
      this.log.add("error", event, "not sent: not connected");
      return null;
    }
    this.log.add("out", event, payload, summary);
    const began = performance.now();
    try {
      const answer: unknown = await socket.timeout(ANSWER_MS).emitWithAck(event, payload);
      const took = `${event} · answer in ${Math.round(performance.now() - began)} ms`;
      const refused = isRecord(answer) && answer.ok === false;
      this.log.add(refused ? "error" : "in", took, answer);
      return isRecord(answer) ? (answer as Answer) : null;
    } catch {
      this.log.add("error", event, `no answer: the connection closed, or ${ANSWER_MS / 1_000} s passed`);
      return null;
    }
  }

  private async open(): Promise<void> {
    this.close();
    const attempt = this.attempt;
    this.status = "asking for a ticket";
    try {
      const ticketUrl = this.ticketUrl().trim().replace(/\/+$/, "");
      if (!ticketUrl) throw new RequestError("the address of ticket is not known; enter it above", 0, "no_address", null);
      this.log.add("out", "ticket", { user: this.user, device: this.device, ...(this.avoid.length && { avoid: this.avoid }) });
      const token = this.token.trim() || (await devToken(ticketUrl, this.user));
      const offers = await assignments(ticketUrl, token, this.device, this.avoid);
      if (attempt !== this.attempt) return;
      this.log.add("in", "ticket", { spear: offers[0]?.node, alternates: offers.slice(1).map((offer) => offer.node) });
      this.dial(offers, attempt);
    } catch (error) {
      if (attempt === this.attempt) this.ticketFailed(error);
    }
  }

  private ticketFailed(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    this.log.add("error", "ticket", message);
    const refused = error instanceof RequestError ? error : null;
    // Below 500 asking again with the same words brings the same answer, save "not so fast".
    const final = refused?.code === "no_address" || (refused && refused.status >= 400 && refused.status < 500 && refused.status !== 429);
    if (final) this.stop(message);
    else this.again(message, refused?.retryAfterMs ?? 0);
  }

  /** Tries the first offer; one that cannot be reached gives way to the next at once. */
  private dial(offers: Assignment[], attempt: number): void {
    const [offer, ...others] = offers;
    if (!offer) return;
    this.status = "connecting";
    this.node = offer.node;
    // Each connection needs a ticket of its own, so the library's reconnection, which would offer the used one, is off.
    const socket = io(offer.url, { auth: { ticket: offer.ticket }, reconnection: false, forceNew: true, timeout: CONNECT_MS });
    this.socket = socket;
    const current = () => attempt === this.attempt && socket === this.socket;
    let kicked: { reason: string; reconnect: boolean } | null = null;
    const isLate = setTimeout(() => {
      if (current() && this.status === "connecting") failed(`${offer.node} did not get ready within ${CONNECT_MS / 1_000} s`, true);
    }, CONNECT_MS + 1_000);

    const failed = (message: string, avoidNode: boolean) => {
      clearTimeout(isLate);
      socket.disconnect();
      this.log.add("error", "connect_error", message);
      if (avoidNode) this.avoid = [...new Set([...this.avoid, offer.node])].slice(-8);
      if (avoidNode && others.length > 0) this.dial(others, attempt);
      else this.again(message, 0);
    };

    socket.on("connect_error", (error: Error & { data?: { code?: string; message?: string } }) => {
      if (!current()) return;
      const code = error.data?.code;
      failed(code ? `${offer.node} refused: ${code}` : `${offer.node} cannot be reached at ${offer.url} (${error.message})`,
        !code || REFUSALS_OF_THE_NODE.includes(code));
    });
    socket.onAny((event: string, payload: unknown) => {
      if (!current()) return;
      if (event === "ready") clearTimeout(isLate);
      if (event === "kicked" && isRecord(payload)) {
        kicked = { reason: String(payload.reason), reconnect: payload.reconnect !== false };
      }
      this.arrived(event, payload);
    });
    socket.on("disconnect", (reason: string) => {
      clearTimeout(isLate);
      if (!current()) return;
      this.log.add("note", "disconnected", kicked ? `kicked: ${kicked.reason}` : reason);
      if (kicked && !kicked.reconnect) this.stop(`kicked: ${kicked.reason}`);
      else this.again(kicked ? `kicked: ${kicked.reason}` : `the connection closed (${reason})`, 0);
    });
  }

  private arrived(event: string, payload: unknown): void {
    const fields = isRecord(payload) ? payload : {};
    if (event === "message") return this.message(payload, fields);
    this.log.add("in", event, payload);
    if (event === "ready") this.ready(fields);
    if (event === "migrate") this.migrate(Number(fields.after_ms) || 0);
    if (event === "gap" && typeof fields.conversation === "string" && typeof fields.to_seq === "number") {
      this.held.receive(fields.conversation, fields.to_seq);
      this.confirmSoon();
    }
  }

  private ready(fields: Record<string, unknown>): void {
    if (typeof fields.node === "string") this.node = fields.node;
    this.status = "connected";
    this.problem = null;
    this.failures = 0;
    this.avoid = [];
    for (const send of this.pending.values()) void this.dispatch(send);
  }

  private message(payload: unknown, fields: Record<string, unknown>): void {
    const { conversation, seq } = fields;
    const stored = typeof conversation === "string" && typeof seq === "number";
    const isNew = !stored || this.held.receive(conversation, seq);
    const place = stored ? `#${seq} ` : "";
    this.log.add("in", isNew ? "message" : "message · seen before", payload, `${place}${String(fields.from)}: ${payloadText(fields.body)}`);
    if (isNew) this.received += 1;
    if (stored) this.confirmSoon();
  }

  private async dispatch(send: Send): Promise<void> {
    const answer = await this.emit("send", send, `to ${Object.values(send.to).join()}: ${payloadText(send.body)}`);
    // Without an answer it may or may not be stored: it stays, and goes again with the same cid at the next `ready`.
    if (!answer) {
      if (!this.wanted) this.pending.delete(send.cid);
      return;
    }
    this.pending.delete(send.cid);
    if (answer.ok && typeof answer.conversation === "string" && typeof answer.seq === "number") {
      this.held.sent(answer.conversation, answer.seq);
      this.confirmSoon();
    }
  }

  private confirmSoon(): void {
    if (!this.confirms || this.ackTimer !== undefined) return;
    this.ackTimer = setTimeout(() => void this.confirm(), ACK_AFTER_MS);
  }

  private async confirm(): Promise<void> {
    this.ackTimer = undefined;
    if (!this.socket?.connected) return;
    const list = this.held.unconfirmed();
    if (list.length === 0) return;
    const answer = await this.emit("ack", list.length === 1 ? list[0] : list);
    if (!answer?.ok) this.held.forgetConfirmed(list.map((entry) => entry.conversation));
  }

  /** The node is draining: move at a moment of one's own within the time it gives. */
  private migrate(afterMs: number): void {
    const attempt = this.attempt;
    const node = this.node;
    clearTimeout(this.retry);
    this.retry = setTimeout(() => {
      if (attempt !== this.attempt) return;
      if (node) this.avoid = [node];
      void this.open();
    }, Math.random() * afterMs * 0.8);
  }

  private again(message: string, atLeastMs: number): void {
    this.close();
    const attempt = this.attempt;
    this.failures += 1;
    const wait = Math.max(atLeastMs, backoffMs(this.failures, Math.random()));
    this.status = "waiting";
    this.problem = message;
    this.log.add("note", "waiting", `${(wait / 1_000).toFixed(1)} s before the next attempt`);
    this.retry = setTimeout(() => {
      if (attempt === this.attempt) void this.open();
    }, wait);
  }

  private stop(message: string): void {
    this.close();
    this.status = "stopped";
    this.problem = message;
    this.log.add("note", "stopped", "trying again would not help; connect by hand");
  }

  private close(): void {
    this.attempt += 1;
    clearTimeout(this.retry);
    clearTimeout(this.ackTimer);
    this.ackTimer = undefined;
    this.node = null;
    const socket = this.socket;
    this.socket = null;
    socket?.disconnect();
  }
}

/** For pages that are not served over https or from loopback, where `randomUUID` is missing. */
function randomId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
