/** From nothing to a connection that is ready: ticket, spear, the alternates, and again after a pause, until it is there or will never be. */
import { backoffMs, pause } from "./backoff.ts";
import { PhalanxError, textOf } from "./error.ts";
import type { Dial, Link, Listener } from "./link.ts";
import type { Assignment, TicketRequest } from "./ticket.ts";

/** The most spears that a request for a ticket names as to be avoided. */
const MOST_AVOIDED = 8;
/** Refusals of ticket after which the same words bring the same answer. */
const FINAL = ["token_invalid", "device_mismatch", "banned", "bad_request", "too_large", "not_found", "no_address", "kicked"];
/** Refusals by which a spear says that another one is the better choice. */
const ELSEWHERE = ["unreachable", "draining", "overloaded"];

export interface Surroundings {
  tickets(request: TicketRequest): Promise<Assignment[]>;
  dial: Dial;
  ticketUrl(): string;
  token(): Promise<string>;
  device: string;
}

/** What is going on, for whoever looks. */
export type Progress =
  | { step: "ticket"; avoid: string[] }
  | { step: "offers"; nodes: string[] }
  | { step: "connecting"; node: string }
  | { step: "failed"; what: "ticket" | "connect"; reason: string }
  | { step: "waiting"; reason: string; ms: number };

export interface Attempt {
  /** What it is doing: it pauses, asks for a ticket, or a spear has been asked to let us in. */
  phase: "waiting" | "asking" | "dialing";
  /** Spears that are not to be asked for at first. */
  avoid: string[];
  /** How many attempts have failed before; with any, the first one waits too. */
  failures: number;
  /** Why the first one waits. */
  reason: string;
  signal: AbortSignal;
  /** Told with each step. */
  progress(progress: Progress): void;
  listener: Listener;
}

export class Connector {
  /** The token that got the latest ticket. */
  token = "";
  #around: Surroundings;

  constructor(around: Surroundings) {
    this.#around = around;
  }

  /** Resolves with a ready connection. Rejects where trying again would not help, or once `signal` says that nobody waits. */
  async connect(attempt: Attempt): Promise<Link> {
    let { avoid, failures, reason } = attempt;
    let atLeastMs = 0;
    let expired = "";
    for (;;) {
      if (failures > 0) {
        const ms = Math.max(atLeastMs, backoffMs(failures));
        attempt.progress({ step: "waiting", reason, ms });
        attempt.phase = "waiting";
        await pause(ms, attempt.signal);
      }
      if (attempt.signal.aborted) throw new PhalanxError("stopped", "nobody waits for the connection any more");
      attempt.phase = "asking";
      failures += 1;
      atLeastMs = 0;
      try {
        const offers = await this.#offers(attempt, avoid);
        const outcome = await this.#first(attempt, offers, avoid);
        if ("link" in outcome) return outcome.link;
        ({ avoid, reason } = outcome);
      } catch (error) {
        reason = textOf(error);
        const code = error instanceof PhalanxError ? error.code : "";
        attempt.progress({ step: "failed", what: code === "kicked" ? "connect" : "ticket", reason });
        // Somebody whose tokens come from elsewhere gives another one the next time.
        const stale = code === "token_expired" && expired === this.token;
        if (FINAL.includes(code) || stale) throw error;
        if (code === "token_expired") expired = this.token;
        if (code === "no_spear") avoid = [];
        atLeastMs = error instanceof PhalanxError ? (error.retryAfterMs ?? 0) : 0;
      }
    }
  }

  async #offers(attempt: Attempt, avoid: string[]): Promise<Assignment[]> {
    attempt.progress({ step: "ticket", avoid });
    const { tickets, ticketUrl, token, device } = this.#around;
    this.token = await token();
    const offers = await tickets({ ticketUrl: ticketUrl(), token: this.token, device, avoid });
    attempt.progress({ step: "offers", nodes: offers.map((offer) => offer.node) });
    return offers;
  }

  /** The first offer that works: one that cannot be reached gives way to the next at once. */
  async #first(attempt: Attempt, offers: Assignment[], avoid: string[]): Promise<{ link: Link } | { avoid: string[]; reason: string }> {
    let reason = "";
    for (const offer of offers) {
      if (attempt.signal.aborted) break;
      attempt.phase = "dialing";
      attempt.progress({ step: "connecting", node: offer.node });
      try {
        return { link: await this.#around.dial(offer, attempt.listener, attempt.signal) };
      } catch (error) {
        reason = textOf(error);
        const code = error instanceof PhalanxError ? error.code : "unreachable";
        if (FINAL.includes(code)) throw error;
        if (code !== "stopped") attempt.progress({ step: "failed", what: "connect", reason });
        // Everything else speaks about the ticket: the next one may be better, the spear is not to blame.
        if (!ELSEWHERE.includes(code)) break;
        avoid = [...new Set([...avoid, offer.node])].slice(-MOST_AVOIDED);
      }
    }
    return { avoid, reason };
  }
}
