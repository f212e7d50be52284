/** One connection to one spear, from its `ready` to its end: the official socket.io client behind a narrow seam. */
import { io, type ManagerOptions, type SocketOptions } from "socket.io-client";
import { PhalanxError } from "./error.ts";
import { isRecord, type Kicked, type Ready } from "./protocol.ts";
import type { Assignment } from "./ticket.ts";

/** How long the transport, and then the spear's `ready`, are waited for, in milliseconds. */
const CONNECT_MS = 10_000;

/** A connection that has become ready. */
export interface Link {
  readonly node: string;
  readonly ready: Ready;
  /** Why it has ended; undefined while it is there. */
  readonly ended: string | undefined;
  /** Emits an event, and answers its acknowledgement; rejects where none comes within `budgetMs`, or the connection ends. */
  ask(event: string, payload: unknown, budgetMs: number): Promise<unknown>;
  close(): void;
}

/** What links tell. */
export interface Listener {
  /** In the order of the connection; the link is null before `ready`, which may never come for one who is `kicked`. */
  event(name: string, payload: unknown, link: Link | null): void;
  /** Once, unless it was closed from here. */
  closed(reason: string, link: Link): void;
}

/** Connects to a spear; resolves at `ready`, rejects with a [`PhalanxError`] whose code says why not. */
export type Dial = (offer: Assignment, listener: Listener, signal: AbortSignal) => Promise<Link>;

/** The official client; `options` are its own, as `transports`. */
export function socketIo(options: Partial<ManagerOptions & SocketOptions> = {}): Dial {
  return (offer, listener, signal) =>
    new Promise((resolve, reject) => {
      // Each connection needs a ticket of its own, so the library's reconnection, which would offer the used one, is off.
      const socket = io(offer.url, { timeout: CONNECT_MS, ...options, auth: { ticket: offer.ticket }, reconnection: false, forceNew: true });
      let link: SocketLink | undefined;
      const late = setTimeout(() => fail("unreachable", `${offer.node} did not get ready within ${CONNECT_MS / 1_000} s`), CONNECT_MS + 1_000);

      const settle = () => {
        clearTimeout(late);
        signal.removeEventListener("abort", gaveUp);
      };
      const fail = (code: string, message: string) => {
        settle();
        socket.disconnect();
        reject(new PhalanxError(code, message));
      };
      const gaveUp = () => fail("stopped", "nobody waits for the connection any more");
      signal.addEventListener("abort", gaveUp);

      socket.on("connect_error", (error: Error & { data?: { code?: string } }) => {
        const code = error.data?.code;
        if (code) fail(code, `${offer.node} refused: ${code}`);
        else fail("unreachable", `${offer.node} cannot be reached at ${offer.url} (${error.message})`);
      });
      socket.onAny((name: string, payload: unknown) => {
        if (!link && name === "kicked") {
          const { reason, reconnect } = readKicked(payload);
          listener.event(name, payload, null);
          return fail(reconnect ? "unreachable" : "kicked", `${offer.node} turned us away: ${reason}`);
        }
        if (!link && name === "ready" && isRecord(payload)) {
          settle();
          link = new SocketLink(socket, offer.node, payload as unknown as Ready);
          listener.event(name, payload, link);
          return resolve(link);
        }
        if (link && link.ended === undefined) listener.event(name, payload, link);
      });
      socket.on("disconnect", (reason) => {
        if (!link) return fail("unreachable", `${offer.node} closed the connection before it was ready (${reason})`);
        if (link.ended !== undefined) return;
        link.ended = reason;
        listener.closed(reason, link);
      });
    });
}

class SocketLink implements Link {
  readonly node: string;
  readonly ready: Ready;
  ended: string | undefined;
  #socket: ReturnType<typeof io>;

  constructor(socket: ReturnType<typeof io>, node: string, ready: Ready) {
    this.#socket = socket;
    this.node = node;
    this.ready = ready;
  }

  ask(event: string, payload: unknown, budgetMs: number): Promise<unknown> {
    // The library would keep what is emitted after the end, and wait its time for an answer.
    if (this.ended !== undefined) return Promise.reject(new Error(`the connection has ended: ${this.ended}`));
    return this.#socket.timeout(budgetMs).emitWithAck(event, payload);
  }

  close(): void {
    this.ended ??= "closed by this client";
    this.#socket.disconnect();
  }
}

/** What a `kicked` says; without a word about it, trying again makes sense. */
export function readKicked(payload: unknown): Kicked {
  const fields = isRecord(payload) ? payload : {};
  return { reason: String(fields.reason), reconnect: fields.reconnect !== false };
}
