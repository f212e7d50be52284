import { expect, it, vi } from "vitest";
import { Log, MAX_LINES, payloadText } from "./log.svelte";

it("the log keeps its newest lines and counts the others", () => {
  vi.useFakeTimers();
  const log = new Log();
  for (let index = 0; index < MAX_LINES + 3; index += 1) log.add("in", "message", { index });
  vi.runAllTimers();
  expect([log.lines.length, log.dropped, log.lines[0]?.text]).toEqual([MAX_LINES, 3, '{"index":3}']);
  vi.useRealTimers();
});

it("a long payload is cut and says how long it was", () => {
  expect(payloadText("x".repeat(5_000))).toMatch(/^x{2000}… \(5000 characters\)$/);
});
