import { describe, expect, it } from "vitest";
import { Held, MAX_CONVERSATIONS, MAX_NUMBERS } from "./held";

const C = "u:alice:bob";

describe("Held", () => {
  it("sees each message once, over reconnects", () => {
    const held = new Held();
    expect([1, 2, 3, 2, 3, 4].map((seq) => held.receive(C, seq))).toEqual([true, true, true, false, false, true]);
  });

  it("confirms the highest once", () => {
    const held = new Held();
    for (const seq of [5, 6, 8]) held.receive(C, seq);
    expect(held.unconfirmed()).toEqual([{ conversation: C, seq: 8 }]);
    expect(held.unconfirmed()).toEqual([]);
    held.forgetConfirmed([C]);
    expect(held.unconfirmed()).toEqual([{ conversation: C, seq: 8 }]);
  });

  it("does not confirm an own message while an earlier one of another may be under way", () => {
    const held = new Held();
    held.receive(C, 1);
    held.sent(C, 3);
    expect(held.unconfirmed()).toEqual([{ conversation: C, seq: 1 }]);
    expect(held.receive(C, 2)).toBe(true);
    expect(held.unconfirmed()).toEqual([{ conversation: C, seq: 3 }]);
  });

  it("knows an own message when it is replayed", () => {
    const held = new Held();
    held.sent(C, 1);
    expect(held.receive(C, 1)).toBe(false);
  });

  it("is bounded", () => {
    const held = new Held();
    for (let seq = 2; seq <= MAX_NUMBERS + 10; seq += 1) held.sent(C, seq);
    expect(held.receive(C, 2)).toBe(false);
    for (let index = 0; index < MAX_CONVERSATIONS; index += 1) held.receive(`g:${index}`, 1);
    expect(held.receive(C, 2)).toBe(true);
  });
});
