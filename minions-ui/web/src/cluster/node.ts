/** The nodes and totals as stat tells them, read with tolerance: a missing field is shown as unknown. */
import { isRecord } from "../http";

export type NodeState = "up" | "draining" | "lost" | "unknown";

export interface ClusterNode {
  id: string;
  role: string;
  state: NodeState;
  /** `host:port`, where other nodes reach it. */
  address: string | null;
  publicUrl: string | null;
  adminUrl: string | null;
  version: string | null;
  startedAt: number | null;
  uptimeMs: number | null;
  reportedAt: number | null;
  weight: number | null;
  incarnation: string | null;
  counters: Record<string, number>;
}

/** What waits in the store for a back end, or for an export. */
export interface Backlog {
  waiting: number;
  /** How old the oldest message is that is being handed over; 0: none is. */
  waitingMs: number;
}

export interface Totals {
  usersOnline: number | null;
  connections: number | null;
  groups: number | null;
  rooms: number | null;
  messagesPerSecond: number | null;
  deliveriesPerSecond: number | null;
  latencyP50Ms: number | null;
  latencyP99Ms: number | null;
  webhooks: Backlog | null;
  exported: Backlog | null;
}

/** The order of the roles on the page: from what clients meet inwards. */
export const ROLES = ["ticket", "spear", "idgen", "stat", "minions-ui"];

const STATES: readonly string[] = ["up", "draining", "lost"];

const text = (value: unknown) => (typeof value === "string" && value !== "" ? value : null);
const number = (value: unknown) => (typeof value === "number" && Number.isFinite(value) ? value : null);

/** One node; `null` where it has not even an id and a role. */
export function readNode(value: unknown): ClusterNode | null {
  if (!isRecord(value)) return null;
  const id = text(value.id);
  const role = text(value.role);
  if (!id || !role) return null;
  const host = text(value.host);
  const port = number(value.port);
  const state = text(value.state) ?? "unknown";
  const counters = isRecord(value.counters) ? value.counters : {};
  return {
    id,
    role,
    state: STATES.includes(state) ? (state as NodeState) : "unknown",
    address: host && port ? `${host}:${port}` : host,
    publicUrl: text(value.public_url),
    adminUrl: text(value.admin_url),
    version: text(value.version),
    startedAt: number(value.started_at),
    uptimeMs: number(value.uptime_ms),
    reportedAt: number(value.reported_at),
    weight: number(value.weight),
    incarnation: value.incarnation == null ? null : String(value.incarnation),
    counters: Object.fromEntries(
      Object.entries(counters).filter((entry): entry is [string, number] => number(entry[1]) !== null),
    ),
  };
}

/** All nodes, by role and id, numbers in ids in their natural order. */
export function readNodes(answer: unknown): ClusterNode[] {
  const list = isRecord(answer) ? answer.nodes : answer;
  const nodes = Array.isArray(list) ? list.map(readNode).filter((node) => node !== null) : [];
  const place = (role: string) => (ROLES.includes(role) ? ROLES.indexOf(role) : ROLES.length);
  const order = new Intl.Collator("en", { numeric: true });
  return nodes.sort((a, b) => place(a.role) - place(b.role) || order.compare(a.id, b.id));
}

/** What waits in the store for somebody; `null` where nobody is to be given anything. */
function readBacklog(value: unknown): Backlog | null {
  if (!isRecord(value)) return null;
  return { waiting: number(value.waiting) ?? 0, waitingMs: number(value.waiting_ms) ?? 0 };
}

export function readTotals(answer: unknown): Totals {
  const fields = isRecord(answer) ? answer : {};
  const latency = isRecord(fields.latency_ms) ? fields.latency_ms : {};
  return {
    usersOnline: number(fields.users_online),
    connections: number(fields.connections),
    groups: number(fields.groups),
    rooms: number(fields.rooms),
    messagesPerSecond: number(fields.messages_per_second),
    deliveriesPerSecond: number(fields.deliveries_per_second),
    latencyP50Ms: number(latency.p50),
    latencyP99Ms: number(latency.p99),
    webhooks: readBacklog(fields.webhooks),
    exported: readBacklog(fields.export),
  };
}
