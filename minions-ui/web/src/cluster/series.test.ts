import { expect, it } from "vitest";
import { MAX_POINTS, Series } from "./series";

it("a series keeps its newest points and shows holes", () => {
  const series = new Series(2);
  for (let second = 0; second < MAX_POINTS + 5; second += 1) series.add(second * 1_000, [second, null]);
  const [at, first, second] = series.columns();
  expect([at.length, at[0], first?.at(-1), second?.at(-1)]).toEqual([MAX_POINTS, 5, MAX_POINTS + 4, null]);
});
