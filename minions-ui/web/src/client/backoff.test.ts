import { expect, it } from "vitest";
import { backoffMs } from "./backoff";

it("the wait grows with the failures and is bounded on both sides", () => {
  expect([1, 2, 3].map((failures) => backoffMs(failures, 0.9999))).toEqual([500, 1_000, 2_000]);
  expect(backoffMs(1_000, 0.9999)).toBeLessThanOrEqual(15_000);
  expect(backoffMs(1, 0)).toBe(100);
});
