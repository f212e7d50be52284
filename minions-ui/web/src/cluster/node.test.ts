import { describe, expect, it } from "vitest";
import { readNode, readNodes, readTotals } from "./node";

describe("readNode", () => {
  it("takes a lost node whose addresses nobody knows", () => {
    const node = readNode({ id: "spear-1", role: "spear", state: "lost", host: null, port: null, counters: {} });
    expect(node).toMatchObject({ state: "lost", address: null, weight: null, uptimeMs: null });
  });

  it("shows a state of a later version as unknown, and drops what has no id", () => {
    expect(readNode({ id: "a", role: "spear", state: "dreaming" })?.state).toBe("unknown");
    expect(readNode({ role: "spear" })).toBeNull();
    expect(readNode("spear-1")).toBeNull();
  });

  it("keeps counters that are numbers", () => {
    expect(readNode({ id: "a", role: "spear", counters: { good: 1, bad: "x", none: null } })?.counters).toEqual({ good: 1 });
  });
});

describe("readNodes", () => {
  it("orders by role, then by the number in the id", () => {
    const node = (role: string, id: string) => ({ role, id });
    const nodes = readNodes({ nodes: [node("stat", "stat-1"), node("spear", "spear-10"), node("spear", "spear-2"), node("ticket", "ticket-1")] });
    expect(nodes.map(({ id }) => id)).toEqual(["ticket-1", "spear-2", "spear-10", "stat-1"]);
  });

  it("is empty for an answer of another shape", () => {
    expect([readNodes(null), readNodes({}), readNodes("x")]).toEqual([[], [], []]);
  });
});

it("readTotals leaves out what is missing", () => {
  expect(readTotals({ connections: 3, latency_ms: { p50: null, p99: 4 } })).toMatchObject({
    connections: 3,
    groups: null,
    latencyP50Ms: null,
    latencyP99Ms: 4,
    exported: null,
  });
  expect(readTotals({ export: { waiting: 7, waiting_ms: 40 } }).exported).toEqual({ waiting: 7, waitingMs: 40 });
});
