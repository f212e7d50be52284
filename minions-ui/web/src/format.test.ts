import { describe, expect, it } from "vitest";
import { count, duration, latency, rate, UNKNOWN } from "./format";

describe("format", () => {
  it("shows what is missing as a dash", () => {
    expect([count(undefined), rate(null), latency(Number.NaN), duration(undefined)]).toEqual(Array(4).fill(UNKNOWN));
  });

  it("keeps numbers short", () => {
    expect([count(12_345), count(1_234_567), rate(1.25), rate(1_234.5)]).toEqual(["12,345", "1.2M", "1.3", "1,235"]);
    expect([latency(0.42), latency(12.3), latency(1_250)]).toEqual(["0.4 ms", "12 ms", "1.3 s"]);
  });

  it("names the two largest units of a duration", () => {
    expect([0, 12_000, 310_000, 3_600_000, 273_600_000].map(duration)).toEqual(["0 s", "12 s", "5 min 10 s", "1 h", "3 d 4 h"]);
  });
});
