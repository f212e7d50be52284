/** One simulated user on one device: the client helper of examples/client, with everything that it does in a log. */
import { isRecord, PhalanxClient, type Destination, type Message, type State, type Trace, type Watch } from "../../../../examples/client/client.ts";
import { Log, payloadText } from "./log.svelte";
import { devToken } from "./tickets";

/** The most sends that wait for an acknowledgement; further ones are refused. */
const MAX_PENDING = 100;

export type Status = State;

/** The kinds of address a message can go to. */
export type TargetKind = "user" | "group" | "room";

/** What can be watched here: the presence of a user, the messages of a group. */
export type WatchKind = "user" | "group";

export interface Watched {
  kind: WatchKind;
  name: string;
  /** Of a user: how many are connected; null as long as nothing is known. */
  devices: number | null;
}

export class SimulatedClient {
  user = $state("");
  device = $state("");
  /** A token of one's own; empty asks ticket's `/dev/token`. */
  token = $state("");
  status: Status = $state("offline");
  /** The node that holds the connection. */
  node: string | null = $state(null);
  /** Why it is not connected, or was not. */
  problem: string | null = $state(null);
  /** How many messages arrived and were new. */
  received = $state(0);
  watched: Watched[] = $state([]);
  readonly log = new Log();

  /** Whether the user asked for a connection and it was not given up. */
  readonly wanted = $derived(this.status !== "offline" && this.status !== "stopped");

  private readonly ticketUrl: () => string;
  private client: PhalanxClient | null = null;
  private identity = "";
  private confirming = $state(true);

  constructor(user: string, device: string, ticketUrl: () => string) {
    this.user = user;
    this.device = device;
    this.ticketUrl = ticketUrl;
  }

  /** Whether what arrives is confirmed. */
  get confirms(): boolean {
    return this.confirming;
  }

  set confirms(confirms: boolean) {
    this.confirming = confirms;
    if (this.client) this.client.confirms = confirms;
  }

  /** Connects, and stays connected until `disconnect` or a refusal for good. */
  connect(): void {
    const identity = JSON.stringify([this.user, this.device]);
    if (!this.client || identity !== this.identity) {
      // Another user or device holds nothing of what this one held.
      this.identity = identity;
      this.received = 0;
      this.watched = [];
      this.client = this.make();
    }
    // What becomes of it, `state` tells.
    void this.client.connect().catch(() => {});
  }

  disconnect(): void {
    if (!this.client?.wanted) return;
    void this.client.disconnect();
    this.log.add("note", "disconnected", "by you");
  }

  /** Sends a message. Without an answer it is sent again, with the same `cid`. */
  send(kind: TargetKind, name: string, body: unknown): void {
    const refused = (error: unknown) => this.log.add("error", "send", `not sent: ${error instanceof Error ? error.message : String(error)}`);
    this.client?.send({ [kind]: name } as Destination, body).catch(refused);
  }

  /** Watches, over each connection from now on. */
  async watch(kind: WatchKind, name: string): Promise<void> {
    const { client } = this;
    const isNew = this.find(kind, name) === undefined;
    // Before the answer: what is told may come with it.
    if (isNew) this.watched.push({ kind, name, devices: null });
    await client?.watch(whatOf(kind, name)).catch(() => {
      // Why, the log tells.
      if (isNew && client === this.client) this.drop(kind, name);
    });
  }

  async unwatch(kind: WatchKind, name: string): Promise<void> {
    this.drop(kind, name);
    await this.client?.unwatch(whatOf(kind, name)).catch(() => {});
  }

  private find(kind: WatchKind, name: string): Watched | undefined {
    return this.watched.find((each) => each.kind === kind && each.name === name);
  }

  private drop(kind: WatchKind, name: string): void {
    this.watched = this.watched.filter((each) => each.kind !== kind || each.name !== name);
  }

  /** Emits any event, for trying the protocol out; the log tells the answer. */
  emit(event: string, payload: unknown): void {
    this.client?.ask(event, payload).catch(() => {});
  }

  private make(): PhalanxClient {
    const client = new PhalanxClient({
      ticketUrl: this.ticketUrl,
      token: () => this.token.trim() || devToken(this.ticketUrl(), this.user),
      device: this.device,
      maxUnsent: MAX_PENDING,
    });
    client.confirms = this.confirms;
    client.on("message", () => void (this.received += 1));
    client.on("presence", ({ user, devices }) => {
      const known = client === this.client ? this.find("user", user) : undefined;
      if (known) known.devices = devices.length;
    });
    client.on("trace", (trace) => this.note(trace));
    client.on("state", ({ state, node, reason }) => {
      if (client !== this.client) return;
      this.status = state;
      this.node = node;
      this.problem = reason;
    });
    return client;
  }

  private note({ direction, event, payload, repeated, tookMs }: Trace): void {
    const name = repeated ? `${event} · seen before` : tookMs === undefined ? event : `${event} in ${tookMs} ms`;
    this.log.add(direction, name, payload, summary(direction, event, payload));
  }
}

function whatOf(kind: WatchKind, name: string): Watch {
  return kind === "user" ? { users: [name] } : { groups: [name] };
}

/** What a person wants to know first. */
function summary(direction: Trace["direction"], event: string, payload: unknown): string {
  if (!isRecord(payload)) return "";
  if (direction === "out" && event === "send" && isRecord(payload.to)) return `to ${Object.values(payload.to).join()}: ${payloadText(payload.body)}`;
  if (direction !== "in" || event !== "message") return "";
  const { seq, from, body } = payload as unknown as Message;
  return `${seq === undefined ? "" : `#${seq} `}${from}: ${payloadText(body)}`;
}
