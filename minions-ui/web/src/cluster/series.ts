/** Values over time for a chart, bounded: the oldest point goes when the newest comes. */

/** Ten minutes of one point a second. */
export const MAX_POINTS = 600;

/** In the shape that uPlot draws: seconds since the epoch, then one column a line; `null` is a hole. */
export type Columns = [number[], ...(number | null)[][]];

export class Series {
  private at: number[] = [];
  private readonly lines: (number | null)[][];

  constructor(lines: number) {
    this.lines = Array.from({ length: lines }, () => []);
  }

  /** Adds a point; a line without a value then has a hole there. */
  add(atMs: number, values: (number | null)[]): void {
    this.at.push(atMs / 1_000);
    this.lines.forEach((line, index) => line.push(values[index] ?? null));
    if (this.at.length <= MAX_POINTS) return;
    this.at.shift();
    for (const line of this.lines) line.shift();
  }

  columns(): Columns {
    return [[...this.at], ...this.lines.map((line) => [...line])];
  }
}
