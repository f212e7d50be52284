// What was found: each violation names its promise, rule, conversation, seq, device and the lines that show it.

// Kept in full; the rest is counted. One broken promise tends to show a thousand times.
const KEPT_A_RULE = 10;

export class Report {
  violations = [];
  /** rule → how often it was broken */
  counts = new Map();

  /**
   * @param {{promise: number | string, rule: string, text: string, conversation?: string, seq?: number, device?: string,
   *   connection?: number, lines?: (number | undefined)[]}} violation
   */
  add(violation) {
    const count = (this.counts.get(violation.rule) ?? 0) + 1;
    this.counts.set(violation.rule, count);
    if (count > KEPT_A_RULE) return;
    const lines = [...new Set((violation.lines ?? []).filter((line) => line > 0 && line < Infinity))].sort((a, b) => a - b);
    this.violations.push({ ...violation, lines });
  }

  get holds() {
    return this.violations.length === 0;
  }

  /** Adds to each violation as `evidence` what its lines say. */
  async attach(events) {
    const wanted = new Map();
    for (const { lines } of this.violations) for (const line of lines) wanted.set(line, undefined);
    if (wanted.size > 0) {
      let number = 0;
      for await (const event of events) {
        number += 1;
        if (wanted.has(number)) wanted.set(number, event);
      }
    }
    for (const violation of this.violations) {
      violation.evidence = violation.lines.map((line) => ({ line, ...wanted.get(line) }));
    }
  }

  toString() {
    if (this.holds) return 'all promises hold';
    const parts = this.violations.map((violation) => {
      const where = ['conversation', 'seq', 'device', 'connection']
        .filter((field) => violation[field] !== undefined)
        .map((field) => `${field} ${violation[field]}`)
        .join(', ');
      const evidence = (violation.evidence ?? []).map(({ line, ...event }) => `    ${line}: ${JSON.stringify(event)}`);
      return [`promise ${violation.promise}, ${violation.rule}: ${violation.text}`, `  ${where}`, ...evidence].join('\n');
    });
    const counts = [...this.counts].map(([rule, count]) => `${rule} ${count}`).join(', ');
    return `${parts.join('\n')}\nbroken: ${counts}`;
  }
}
