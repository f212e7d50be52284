// What a run found, summed over its rounds, and how people read it.

// The rules of the checker (tests/checker/) by what they mean.
const RULES = {
  lost: ['lost', 'hole', 'unstored', 'undelivered'],
  duplicated: ['stored twice', 'two at one seq', 'one at two seqs', 'id given twice'],
  reordered: ['backwards', 'overtaken', 'skipped'],
};

export class Verdict {
  holds = true;
  rounds = 0;
  faults = 0;
  /** kind of fault → how many */
  kinds = {};
  /** What the workload counted. */
  sums = {};
  /** rule → how often it was broken */
  broken = {};
  /** Processes that ended although nobody killed them: `{name, end, at}`. */
  ended = [];
  /** How many different ids were given. */
  ids = 0;
  /** Whether somebody had no time to wait for the rest. */
  interrupted = false;
  /** Whether the run itself could not go on. */
  broke = false;

  constructor(seed, directory) {
    Object.assign(this, { seed, directory });
  }

  /** Takes a round: what the workload counted, the checker's report, what is wrong with ids (ids.mjs). Answers whether it holds. */
  add(counts, report, { twice, backwards }) {
    sum(this.sums, counts);
    sum(this.broken, Object.fromEntries(report.counts));
    if (twice.length > 0) sum(this.broken, { 'id given twice': twice.length });
    if (backwards.length > 0) sum(this.broken, { 'ids backwards': backwards.length });
    const holds = report.holds && twice.length + backwards.length === 0;
    this.holds &&= holds;
    return holds;
  }

  /** Why a run that found nothing proves nothing; undefined where it does. */
  get emptiness() {
    if (this.faults === 0) return 'no fault was injected';
    if (!this.sums.acknowledged) return 'the cluster acknowledged no send';
    return undefined;
  }

  /** Of the program: 0 where all holds, 1 where something was found, 130 after Ctrl-C, 2 where the run broke off or nothing was tried. */
  get exitCode() {
    if (!this.holds || this.ended.length > 0) return 1;
    if (this.interrupted && !this.broke) return 130;
    return this.broke || this.emptiness ? 2 : 0;
  }

  /** Whether there is nothing to look into. */
  get isClean() {
    return this.exitCode === 0;
  }

  toString() {
    const known = Object.values(RULES).flat();
    const found = Object.entries(RULES).map(([what, rules]) => `${what} ${rules.reduce((all, rule) => all + (this.broken[rule] ?? 0), 0)}`);
    const others = Object.entries(this.broken).filter(([rule]) => !known.includes(rule));
    const { acknowledged = 0, deliveries = 0 } = this.sums;
    return [
      `seed ${this.seed}: ${this.faults} faults in ${this.rounds} ${this.rounds === 1 ? 'round' : 'rounds'}${this.#unfinished}`,
      ...Object.entries(this.kinds)
        .sort(([, one], [, other]) => other - one)
        .map(([kind, count]) => `  ${String(count).padStart(5)} ${kind}`),
      `${acknowledged} sends acknowledged, ${deliveries} deliveries, ${this.ids} ids`,
      [...found, ...others.map(([rule, count]) => `${rule} ${count}`)].join(', '),
      ...this.ended.map(({ name, end, at }) => `ended by itself: ${name} ${JSON.stringify(end)}, at ${at}`),
      this.#conclusion(),
      ...(this.isClean ? [] : [`the histories that were kept, and the log of the faults: ${this.directory}`]),
    ].join('\n');
  }

  #conclusion() {
    if (!this.holds) return 'REFUTED';
    if (this.ended.length > 0) return `FAILED: no promise is refuted, but a process ended by itself, ${this.ended.length} in all`;
    if (this.emptiness) return `nothing is proven: ${this.emptiness}`;
    return this.#unfinished ? `no promise is refuted so far${this.#unfinished}` : 'all promises hold';
  }

  get #unfinished() {
    if (this.broke) return ', broken off';
    return this.interrupted ? ', interrupted' : '';
  }
}

/** One round, as it is shown while the run goes on. */
export function line(counts) {
  const { acknowledged = 0, deliveries = 0 } = counts;
  const refused = counts['refused: unavailable'] ?? 0;
  const none = counts['sends without an answer'] ?? 0;
  return `${acknowledged} acknowledged, ${refused} unavailable, ${none} without an answer, ${deliveries} delivered`;
}

function sum(sums, counts) {
  for (const [what, count] of Object.entries(counts)) sums[what] = (sums[what] ?? 0) + count;
}
