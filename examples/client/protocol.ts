/** What a client and a spear say to one another, as types; docs/protocol.md tells what each of it means. */

/** Where something goes. */
export type Destination = { user: string } | { group: string } | { room: string };

/** What one may join and leave. */
export type Place = { group: string } | { room: string };

/** The first thing that a spear says. */
export interface Ready {
  protocol: number;
  user: string;
  device: string;
  /** The name of this connection, for logs. */
  session: string;
  node: string;
  /** The spear's clock, milliseconds since the Unix epoch. */
  server_at: number;
  /** Whether this device was here before. */
  resumed: boolean;
}

/** A message of a conversation, or of a room: then it has no `seq`. */
export interface Message {
  conversation: string;
  seq?: number;
  id: string;
  cid?: string;
  from: string;
  device?: string;
  to: Destination;
  type: string;
  /** Any JSON; null where the sender has recalled the message. */
  body: unknown;
  sent_at: number;
  recalled_at?: number;
  /** It is shown because its conversation is watched: it is not confirmed. */
  watched?: true;
}

/** The answer to a `send`; `conversation`, `seq` and `duplicate` are missing where it went to a room. */
export interface Sent {
  id: string;
  seq?: number;
  conversation?: string;
  sent_at: number;
  duplicate?: boolean;
}

/** Messages that retention took away before this device confirmed them. */
export interface Gap {
  conversation: string;
  from_seq: number;
  to_seq: number;
}

export interface Receipt {
  conversation: string;
  user: string;
  read_seq: number;
}

export interface Recalled {
  conversation: string;
  seq: number;
  id: string;
}

export interface Signal {
  from: string;
  to: Destination;
  type: string;
  body: unknown;
}

/** One connected device of a user. */
export interface DevicePresence {
  device: string;
  node: string;
  since_at: number;
}

export interface Presence {
  user: string;
  online: boolean;
  devices: DevicePresence[];
}

/** So many watched messages were dropped. */
export interface Missed {
  messages: number;
}

export interface Kicked {
  /** `replaced`, `expired`, `banned` or `admin`. */
  reason: string;
  /** Whether trying again makes sense. */
  reconnect: boolean;
  /** For people, where a back end has something to say. */
  message?: string;
}

export interface Migrate {
  after_ms: number;
}

/** One line of the list of conversations. */
export interface Overview {
  conversation: string;
  last_seq: number;
  read_seq: number;
  unread: number;
  last_message: Message | null;
  /** Direct conversations only. */
  peer_read_seq?: number;
}

/** What can be asked for: the payload, and what an `ok` answer holds. */
export interface Requests {
  send: [{ to: Destination; cid?: string; type?: string; body: unknown }, Sent];
  ack: [Confirmation | Confirmation[], object];
  sync: [{ conversation: string; after?: number; before?: number; limit?: number }, { messages: Message[]; more: boolean; last_seq: number }];
  conversations: [{ cursor?: string; limit?: number }, { conversations: Overview[]; cursor: string | null }];
  read: [Confirmation, object];
  recall: [Confirmation, object];
  signal: [{ to: Destination; type: string; body: unknown }, object];
  presence: [{ users: string[] }, { presence: Record<string, { online: boolean; devices: DevicePresence[]; last_seen_at: number | null }> }];
  watch: [Watch, object];
  unwatch: [Watch, object];
  join: [Place, { members: number }];
  leave: [Place, { members: number }];
  members: [{ group: string; cursor?: string; limit?: number }, { members: string[]; cursor: string | null }];
  refresh: [{ token: string }, { expires_at: number }];
}

/** What can be watched: the presence of users, or their messages; groups; conversations. Messages are for tokens with the scope `monitor`. */
export type Watch = { users: string[]; messages?: boolean } | { groups: string[] } | { conversations: string[] };

/** A place in a conversation. */
export interface Confirmation {
  conversation: string;
  seq: number;
}

/** The acknowledgement of an event. */
export type Answer = { ok: true; [field: string]: unknown } | { ok: false; error: { code: string; message: string; retry_after_ms?: number } };

/** A JSON object, as opposed to a list, a text or nothing. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** An answer as it should be; anything else is none. */
export function readAnswer(value: unknown): Answer | null {
  if (!isRecord(value)) return null;
  if (value.ok === true) return value as Answer;
  if (value.ok !== false || !isRecord(value.error) || typeof value.error.code !== "string") return null;
  return value as Answer;
}
