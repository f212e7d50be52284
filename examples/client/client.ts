/** A client of Phalanx on the official socket.io client: it stays connected, loses nothing, and gives each message once.
 *
 *     const client = new PhalanxClient({ ticketUrl: "https://chat.example", token: () => myBackEnd.token(), device: "phone-1" });
 *     client.on("message", async (message) => { await keep(message); });
 *     await client.connect();
 *     const { seq } = await client.send({ user: "bob" }, { text: "hello" });
 *
 * Bundlers, and Node.js from 22.18 on, take these files as they are; `tsc -p examples/client` makes JavaScript of them.
 *
 * | file | what |
 * |---|---|
 * | `client.ts` | the client: what an application writes, and the life of its connections |
 * | `connector.ts` | from nothing to a ready connection: ticket, spear, alternates, pauses |
 * | `ticket.ts` | ticket's HTTP API |
 * | `link.ts` | one connection; the only file that knows socket.io, and the seam where a test puts another transport |
 * | `inbox.ts` | each message once and in order, and how far everything was taken |
 * | `cursors.ts` | where that is remembered |
 * | `acks.ts` | confirming it |
 * | `outbox.ts` | what is to be sent, and sent again |
 * | `refresher.ts` | a newer token before the old one expires |
 * | `backoff.ts` `emitter.ts` `error.ts` `protocol.ts` | growing pauses, typed events, errors with codes, the protocol's types |
 */
import { Acks } from "./acks.ts";
import { Connector, type Attempt, type Progress } from "./connector.ts";
import { MemoryCursors, type CursorStore } from "./cursors.ts";
import { Emitter } from "./emitter.ts";
import { PhalanxError, textOf } from "./error.ts";
import { Inbox } from "./inbox.ts";
import { readKicked, socketIo, type Dial, type Link, type Listener } from "./link.ts";
import { Outbox } from "./outbox.ts";
import {
  isRecord,
  readAnswer,
  type Answer,
  type Destination,
  type Gap,
  type Kicked,
  type Message,
  type Migrate,
  type Missed,
  type Place,
  type Presence,
  type Ready,
  type Recalled,
  type Receipt,
  type Requests,
  type Sent,
  type Signal,
  type Watch,
} from "./protocol.ts";
import { Refresher } from "./refresher.ts";
import { askTicket, expiryOf, type Assignment, type TicketRequest } from "./ticket.ts";

export * from "./protocol.ts";
export { MemoryCursors, PhalanxError, socketIo };
export type { Assignment, CursorStore, Dial, Link, Listener, TicketRequest };

/** How long an acknowledgement is waited for, in milliseconds. */
const ANSWER_MS = 10_000;
/** How long a goodbye may take: what was taken is still confirmed. */
const GOODBYE_MS = 1_000;
/** In which part of the time that a leaving spear gives a client moves, so that they do not all come at once to another one. */
const MOVE_WITHIN = 0.5;

export interface Options {
  /** The address of ticket; a function where it may change. */
  ticketUrl: string | (() => string);
  /** A token for this user, fresh each time it is asked for; the application's back end signs it. */
  token: () => string | Promise<string>;
  /** The name of this device: what it has confirmed is remembered under it. Without one, the token's or `default`. */
  device?: string;
  /** Where it is remembered what was taken; for as long as the program runs, where nothing is said. */
  cursors?: CursorStore;
  /** The most messages that wait to be sent, 1,000 by default; further ones are refused as `queue_full`. */
  maxUnsent?: number;
  /** The most messages that wait to be taken, 1,000 by default; then the connection is given up until they are. */
  maxUntaken?: number;
  /** How to connect; the official client by default, whose options `socketIo(options)` takes. */
  dial?: Dial;
  /** How to get a ticket; over HTTP by default. */
  tickets?: (request: TicketRequest) => Promise<Assignment[]>;
}

/** `offline`: not wanted. `waiting`: there is a pause before the next attempt. `stopped`: trying again would not help. */
export type State = "offline" | "asking for a ticket" | "connecting" | "connected" | "waiting" | "stopped";

/** What an application can listen to. A handler of `message` or `gap` may answer a promise: the message is confirmed when it is
 * fulfilled, and comes again with another connection where it is not. */
export interface Events {
  message: Message;
  gap: Gap;
  receipt: Receipt;
  recalled: Recalled;
  signal: Signal;
  presence: Presence;
  /** A message of a conversation that is watched and that the user is not in: live only, and it may come twice. */
  watched: Message;
  missed: Missed;
  ready: Ready;
  kicked: Kicked;
  migrate: Migrate;
  state: { state: State; node: string | null; reason: string | null };
  /** Something that the client deals with by itself, and that somebody may want to know. */
  error: unknown;
  /** Everything that goes and comes, for logs. `repeated` came before. */
  trace: Trace;
}

export interface Trace {
  direction: "out" | "in" | "note" | "error";
  event: string;
  payload: unknown;
  repeated?: boolean;
  /** Of an answer: how long it took, milliseconds. */
  tookMs?: number;
}

const PASSED_ON = ["receipt", "recalled", "signal", "presence", "missed"] as const;

export class PhalanxClient extends Emitter<Events> {
  state: State = "offline";
  /** The spear that holds the connection. */
  node: string | null = null;
  /** Why it is not connected, or was not. */
  reason: string | null = null;

  #connector: Connector;
  #token: () => Promise<string>;
  #inbox: Inbox;
  #acks: Acks;
  #outbox: Outbox;
  #refresher: Refresher;
  #maxUntaken: number;
  #link: Link | null = null;
  /** The connection that is being made: the first one, the next one, or one that takes the place of `#link`. */
  #attempt: (Attempt & { abort(): void }) | null = null;
  /** What connections of an earlier era still say is not heard. */
  #era = 0;
  #moving: ReturnType<typeof setTimeout> | undefined;
  /** How far the spear's clock is ahead of ours, milliseconds. */
  #ahead = 0;
  #user = "";
  /** Why the spear is about to close the connection, where it said so. */
  #kickedFor: string | null = null;
  /** How often in a row the application did not take what it was given. */
  #refusals = 0;
  /** Whether the next attempt waits until the application has taken what is here. */
  #behind = false;
  /** Membership of a room ends with the connection. */
  #rooms = new Set<string>();
  /** What is watched, by its JSON; that ends with the connection too. */
  #watched = new Map<string, Watch>();
  #waitingForReady: { resolve(ready: Ready): void; reject(error: unknown): void }[] = [];

  constructor(options: Options) {
    super();
    const { ticketUrl, token, device = "", cursors = new MemoryCursors(), dial = socketIo(), tickets = askTicket } = options;
    this.#token = async () => token();
    this.#maxUntaken = options.maxUntaken ?? 1_000;
    this.#connector = new Connector({
      tickets,
      dial,
      token: this.#token,
      device,
      ticketUrl: () => (typeof ticketUrl === "string" ? ticketUrl : ticketUrl()),
    });
    this.#inbox = new Inbox(cursors, {
      moved: () => this.#acks.soon(),
      refused: (error) => this.#notTaken(error),
      empty: () => this.#caughtUp(),
    });
    this.#acks = new Acks(this.#inbox, cursors, async (list) => (this.#link ? this.#askOn(this.#link, "ack", list) : null), (error) => this.tell("error", error));
    this.#outbox = new Outbox(options.maxUnsent ?? 1_000);
    this.#refresher = new Refresher(() => this.#refresh(), (error) => this.tell("error", error));
  }

  /** Whether what was taken is confirmed; it is, unless somebody says otherwise. */
  get confirms(): boolean {
    return this.#acks.enabled;
  }

  set confirms(enabled: boolean) {
    this.#acks.enabled = enabled;
    if (enabled) this.#acks.soon();
  }

  /** Whether a connection is wanted and was not given up. */
  get wanted(): boolean {
    return this.state !== "offline" && this.state !== "stopped";
  }

  /** Connects, and stays connected until `disconnect`, or until trying again would not help. Resolves at the first `ready`; rejects
   * where there will be none. */
  connect(): Promise<Ready> {
    if (!this.hears("message")) {
      throw new PhalanxError("stopped", 'listen to "message" before connect(): what comes is confirmed once a handler has taken it');
    }
    if (this.#link) return Promise.resolve(this.#link.ready);
    const ready = new Promise<Ready>((resolve, reject) => this.#waitingForReady.push({ resolve, reject }));
    // Who does not wait for it learns the same by `state`.
    ready.catch(() => {});
    if (!this.wanted) {
      this.#refusals = 0;
      this.reason = null;
      this.#open([], 0, "");
    }
    return ready;
  }

  /** Says goodbye; resolves once what was taken is confirmed. What waits to be sent goes out after the next `connect`. */
  async disconnect(): Promise<void> {
    const link = this.#detach();
    this.#set("offline", null);
    this.#tellReady(new PhalanxError("stopped", "disconnected by the application"));
    if (!link) return;
    const confirmed = this.#acks.flush((list) => this.#askOn(link, "ack", list, GOODBYE_MS));
    await confirmed.finally(() => link.close());
  }

  /** Sends a message; resolves once it is stored. Without an answer it is sent again with the same `cid`, over as many connections as
   * it takes. Rejects with a [`PhalanxError`] where it is refused for good. */
  async send(to: Destination, body: unknown, more: { cid?: string; type?: string } = {}): Promise<Sent> {
    if (this.state === "stopped") throw new PhalanxError("stopped", this.reason ?? "stopped");
    const sent = await this.#outbox.add(to, body, more);
    if (sent.conversation !== undefined && sent.seq !== undefined) this.#inbox.sent(sent.conversation, sent.seq);
    return sent;
  }

  /** Asks for something else, once. Rejects with a [`PhalanxError`]: what was refused has the protocol's code, what had no answer
   * `no_answer` or `not_connected`. */
  async request<Name extends keyof Requests>(event: Name, payload: Requests[Name][0]): Promise<Requests[Name][1]> {
    const answer = await this.ask(event, payload);
    if (answer.ok) return answer as unknown as Requests[Name][1];
    const { code, message, retry_after_ms } = answer.error;
    throw new PhalanxError(code, `${event}: ${message}`, { retryAfterMs: retry_after_ms });
  }

  /** Emits any event, and answers what the spear answers, refusals included. */
  async ask(event: string, payload: unknown): Promise<Answer> {
    const link = this.#link;
    if (!link) throw new PhalanxError("not_connected", `${event}: not connected`);
    const answer = await this.#askOn(link, event, payload);
    if (!answer) throw new PhalanxError("no_answer", `${event}: no answer, the connection closed or ${ANSWER_MS / 1_000} s passed`);
    return answer;
  }

  /** Joins an open group, or a room: that one again with each connection, until `leave`. Answers how many are there. */
  async join(place: Place): Promise<number> {
    const { members } = await this.request("join", place);
    if ("room" in place) this.#rooms.add(place.room);
    return members;
  }

  /** Leaves it; answers how many are left. */
  async leave(place: Place): Promise<number> {
    if ("room" in place) this.#rooms.delete(place.room);
    return (await this.request("leave", place)).members;
  }

  /** Watches, with each connection, until `unwatch`: `presence` events tell how it stands with users, and each change; `watched` events
   * bring messages of others. */
  async watch(what: Watch): Promise<void> {
    await this.request("watch", what);
    for (const each of eachOf(what)) this.#watched.set(JSON.stringify(each), each);
  }

  /** Does not watch any more. */
  async unwatch(what: Watch): Promise<void> {
    for (const each of eachOf(what)) this.#watched.delete(JSON.stringify(each));
    await this.request("unwatch", what);
  }

  // --- the life of a connection ---

  /** Begins to connect; an earlier attempt ends. */
  #open(avoid: string[], failures: number, reason: string): void {
    this.#attempt?.abort();
    const controller = new AbortController();
    const { signal } = controller;
    const attempt: Attempt & { abort(): void } = {
      phase: "asking",
      avoid,
      failures,
      reason,
      signal,
      listener: this.#listener(),
      progress: (progress: Progress) => {
        if (!signal.aborted) this.#progress(progress);
      },
      abort: () => controller.abort(),
    };
    this.#attempt = attempt;
    this.#connector.connect(attempt).then(
      (link) => {
        if (signal.aborted) return link.close();
        this.#attempt = null;
        this.#use(link);
      },
      (error: unknown) => {
        if (signal.aborted) return;
        this.#attempt = null;
        // One that was to take another's place: that one is still there, and it is tried again when it goes.
        if (!this.#link) this.#stop(textOf(error));
      },
    );
  }

  #listener(): Listener {
    const era = this.#era;
    return {
      event: (name, payload, link) => {
        if (era === this.#era) this.#heard(name, payload, link);
      },
      closed: (reason, link) => {
        if (link === this.#link) this.#lost(link, reason);
      },
    };
  }

  /** A connection is ready: it is the one from now on, and an older one goes. */
  #use(link: Link): void {
    this.#link?.close();
    clearTimeout(this.#moving);
    this.#outbox.closed();
    this.#link = link;
    if (link.ended !== undefined) return this.#lost(link, link.ended);
    this.node = link.node;
    this.#user = link.ready.user;
    this.#ahead = link.ready.server_at - Date.now();
    this.#kickedFor = null;
    this.#set("connected", null);
    this.tell("ready", link.ready);
    this.#tellReady(null, link.ready);
    const expires = expiryOf(this.#connector.token);
    if (expires !== undefined) this.#refresher.watch(this.#left(expires));
    this.#acks.soon();
    void this.#watchAgain(link);
    void this.#enterRooms(link);
  }

  async #watchAgain(link: Link): Promise<void> {
    for (const what of together([...this.#watched.values()])) {
      const answer = await this.#askOn(link, "watch", what);
      if (answer && !answer.ok) this.tell("error", new PhalanxError(answer.error.code, `watch: ${answer.error.message}`));
    }
  }

  /** Sends what waits once the rooms are entered: a message to a room is for members only. */
  async #enterRooms(link: Link): Promise<void> {
    await Promise.all([...this.#rooms].map((room) => this.#askOn(link, "join", { room })));
    if (link !== this.#link) return;
    this.#outbox.opened({
      send: (payload) => this.#askOn(link, "send", payload),
      leaving: () => link !== this.#link || this.#attempt !== null,
    });
  }

  /** The connection has ended without our doing. */
  #lost(link: Link, reason: string): void {
    const why = this.#kickedFor ?? `the connection closed (${reason})`;
    this.#trace("note", "disconnected", why);
    this.#rest();
    // Its successor is under way already; one that only waits may wait too long now.
    if (this.#attempt && this.#attempt.phase !== "waiting") return this.#set("connecting", why);
    // One that does not answer is not asked again at once; one that said goodbye is left to ticket to judge.
    this.#open(reason === "ping timeout" ? [link.node] : [], 1, why);
  }

  /** What belongs to a connection ends with it. */
  #rest(): void {
    this.#link = null;
    this.node = null;
    this.#outbox.closed();
    this.#refresher.stop();
    this.#acks.stop();
    clearTimeout(this.#moving);
  }

  /** Gives up connection and attempt, and hears no more of either; answers the connection, which is still open. */
  #detach(): Link | null {
    const link = this.#link;
    this.#era += 1;
    this.#behind = false;
    this.#attempt?.abort();
    this.#attempt = null;
    this.#rest();
    return link;
  }

  #stop(reason: string): void {
    this.#detach()?.close();
    this.#trace("note", "stopped", reason);
    this.#set("stopped", reason);
    const error = new PhalanxError("stopped", reason);
    this.#outbox.fail(error);
    this.#tellReady(error);
  }

  // --- what comes ---

  /** `link` is null before `ready`. */
  #heard(name: string, payload: unknown, link: Link | null): void {
    if (!isRecord(payload)) return this.#trace("in", name, payload);
    if (name === "message") return this.#message(payload as unknown as Message);
    this.#trace("in", name, payload);
    if (name === "gap") return this.#gap(payload as unknown as Gap);
    if (name === "kicked") return this.#kicked(readKicked(payload), link);
    if (name === "migrate") return this.#migrate(payload as unknown as Migrate, link);
    const known = PASSED_ON.find((each) => each === name);
    if (known) this.tell(known, payload as never);
  }

  #message(message: Message): void {
    const { conversation, seq } = message;
    if (message.watched) {
      this.#trace("in", "message", message);
      return this.tell("watched", message);
    }
    // An own one that still waits for its answer: this is the answer.
    const own = message.from === this.#user && this.#outbox.settle(message);
    if (seq === undefined) {
      this.#trace("in", "message", message);
      return this.tell("message", message);
    }
    if (this.#inbox.untaken >= this.#maxUntaken) return this.#fallBehind();
    const isNew = this.#inbox.receive(conversation, seq, () => (own ? undefined : this.#given(this.give("message", message))));
    this.#trace("in", "message", message, { repeated: !isNew });
  }

  #gap(gap: Gap): void {
    this.#inbox.receive(gap.conversation, gap.to_seq, () => this.#given(this.give("gap", gap)));
  }

  #given(later: Promise<unknown> | undefined): Promise<unknown> | undefined {
    if (!later) this.#refusals = 0;
    return later?.then(() => (this.#refusals = 0));
  }

  /** The application did not take a message. It comes again with another connection, after a pause that grows. */
  #notTaken(error: unknown): void {
    this.tell("error", error);
    if (!this.wanted) return;
    this.#refusals += 1;
    this.#detach()?.close();
    this.#open([], this.#refusals, `a message was not taken: ${textOf(error)}`);
  }

  /** More comes than is taken: nothing more is let in until that is done. What is let go comes again. */
  #fallBehind(): void {
    this.#detach()?.close();
    this.#behind = true;
    this.#set("waiting", `${this.#maxUntaken} messages wait to be taken by the application`);
  }

  #caughtUp(): void {
    if (!this.#behind) return;
    this.#behind = false;
    this.#open([], 0, "");
  }

  #kicked(kicked: Kicked, link: Link | null): void {
    // The connection that takes its place is being made by us.
    if (link && kicked.reason === "replaced" && (link !== this.#link || this.#attempt?.phase === "dialing")) return;
    this.tell("kicked", kicked);
    if (link === null || link !== this.#link) return;
    if (kicked.reconnect) this.#kickedFor = `kicked: ${kicked.reason}`;
    else this.#stop(`kicked: ${kicked.reason}`);
  }

  /** The spear is leaving: move at a moment of one's own within the time that it gives, and keep the old connection until then. */
  #migrate(migrate: Migrate, link: Link | null): void {
    this.tell("migrate", migrate);
    if (!link || link !== this.#link) return;
    clearTimeout(this.#moving);
    this.#moving = setTimeout(() => {
      if (link === this.#link && !this.#attempt) this.#open([link.node], 0, "");
    }, Math.random() * MOVE_WITHIN * (migrate.after_ms || 0));
  }

  // --- what goes ---

  async #askOn(link: Link, event: string, payload: unknown, budgetMs: number = ANSWER_MS): Promise<Answer | null> {
    this.#trace("out", event, payload);
    const began = performance.now();
    try {
      const answer = readAnswer(await link.ask(event, payload, budgetMs));
      const tookMs = Math.round(performance.now() - began);
      this.#trace(answer?.ok ? "in" : "error", `${event} · answer`, answer ?? "not understood", { tookMs });
      return answer;
    } catch {
      this.#trace("error", event, `no answer: the connection closed, or ${budgetMs / 1_000} s passed`);
      return null;
    }
  }

  /** Gives the spear a newer token; answers how long that one lasts. */
  async #refresh(): Promise<number> {
    const token = await this.#token();
    const { expires_at } = await this.request("refresh", { token });
    return this.#left(expires_at);
  }

  /** From now to a time of the spear's clock, milliseconds. */
  #left(at: number): number {
    return at - Date.now() - this.#ahead;
  }

  // --- what is told ---

  #progress(progress: Progress): void {
    const told = this.#link === null;
    switch (progress.step) {
      case "ticket":
        this.#trace("out", "ticket", progress.avoid.length > 0 ? { avoid: progress.avoid } : {});
        if (told) this.#set("asking for a ticket", this.reason);
        break;
      case "offers":
        this.#trace("in", "ticket", { spear: progress.nodes[0], alternates: progress.nodes.slice(1) });
        break;
      case "connecting":
        if (told) this.#set("connecting", this.reason);
        break;
      case "failed":
        this.#trace("error", progress.what === "ticket" ? "ticket" : "connect_error", progress.reason);
        break;
      case "waiting":
        this.#trace("note", "waiting", `${(progress.ms / 1_000).toFixed(1)} s before the next attempt`);
        if (told) this.#set("waiting", progress.reason);
        break;
    }
  }

  #set(state: State, reason: string | null): void {
    if (state === this.state && reason === this.reason) return;
    this.state = state;
    this.reason = reason;
    this.tell("state", { state, node: this.node, reason });
  }

  #tellReady(error: PhalanxError | null, ready?: Ready): void {
    const waiting = this.#waitingForReady.splice(0);
    for (const each of waiting) {
      if (ready) each.resolve(ready);
      else each.reject(error);
    }
  }

  #trace(direction: Trace["direction"], event: string, payload: unknown, more: Partial<Trace> = {}): void {
    if (this.hears("trace")) this.tell("trace", { direction, event, payload, ...more });
  }
}

/** One by one what is to be watched. */
function eachOf(what: Watch): Watch[] {
  if ("groups" in what) return what.groups.map((group) => ({ groups: [group] }));
  if ("conversations" in what) return what.conversations.map((conversation) => ({ conversations: [conversation] }));
  return what.users.map((user) => (what.messages ? { users: [user], messages: true } : { users: [user] }));
}

/** The same in as few requests as can be. */
function together(all: Watch[]): Watch[] {
  const groups = all.flatMap((what) => ("groups" in what ? what.groups : []));
  const conversations = all.flatMap((what) => ("conversations" in what ? what.conversations : []));
  const users = (messages: boolean) => all.flatMap((what) => ("users" in what && Boolean(what.messages) === messages ? what.users : []));
  const requests: [unknown[], Watch][] = [
    [users(false), { users: users(false) }],
    [users(true), { users: users(true), messages: true }],
    [groups, { groups }],
    [conversations, { conversations }],
  ];
  return requests.filter(([names]) => names.length > 0).map(([, what]) => what);
}
