// Promise 5: ids. Proves or refutes it from calls that were answered, whoever recorded them.
//
//   repeated    an id came twice
//   backwards   of two calls that did not overlap the later one has the lower id (strict mode only)
//
// A record is one run of ids: `{began, ended, first, last}`. `began` was taken before the request was sent and `ended` after its
// answer was read, both by one clock that never goes back, in any unit (`performance.now()` does). `first` and `last` are the ids at
// its ends, both included, as BigInt or as decimal text; the call has everything in between, or the one id that they both are. A
// call whose ids have holes is several records with the same times. A message is one, too: its `send` began, its answer came, its `id`.
//
// Calls that failed are left out: nobody has their ids. Times that are equal are no order, so a coarse clock hides faults and invents
// none. It takes O(n log n) time, and some 200 bytes a record.

const SHOWN = 10;

/**
 * @param {Iterable<{began: number, ended: number, first: bigint | string, last: bigint | string}>} records
 * @param {{strict: boolean, shown?: number}} options `strict`: one idgen is active, so order is promised as well; else uniqueness only
 * @returns {{holds: boolean, records: number, found: {rule: string, one: object, other: object}[], more: number}} the first
 *   violations, and how many more there are; `toString` says it
 */
export function checkIds(records, { strict, shown = SHOWN }) {
  const calls = [...records].map(parse);
  const found = [...repeated(calls), ...(strict ? backwards(calls) : [])];
  return {
    holds: found.length === 0,
    records: calls.length,
    found: found.slice(0, shown),
    more: Math.max(found.length - shown, 0),
    toString() {
      const promise = strict ? 'unique and in the order of the calls' : 'unique';
      if (this.holds) return `${this.records} records: ids are ${promise}`;
      const lines = this.found.map(({ rule, one, other }) => `${rule}: ${show(one)} and ${show(other)}`);
      return [`${this.records} records: ids are not ${promise}`, ...lines, ...(this.more ? [`and ${this.more} more`] : [])].join('\n');
    },
  };
}

function parse(record) {
  const call = { ...record, first: BigInt(record.first), last: BigInt(record.last) };
  if (!(call.began <= call.ended) || call.first > call.last) throw new Error(`this is no call: ${show(call)}`);
  return call;
}

/** Ids that two records share. */
function repeated(calls) {
  const found = [];
  const byFirst = [...calls].sort((one, other) => (one.first < other.first ? -1 : Number(one.first > other.first)));
  // The one that reaches farthest of those before.
  let farthest;
  for (const call of byFirst) {
    if (farthest && call.first <= farthest.last) found.push({ rule: 'repeated', one: farthest, other: call });
    if (!farthest || call.last > farthest.last) farthest = call;
  }
  return found;
}

/** Calls that began after another one had ended which has a higher id. */
function backwards(calls) {
  const found = [];
  const byEnd = [...calls].sort((one, other) => one.ended - other.ended);
  const byBegin = [...calls].sort((one, other) => one.began - other.began);
  let ended = 0;
  let highest;
  for (const call of byBegin) {
    for (; ended < byEnd.length && byEnd[ended].ended < call.began; ended += 1) {
      if (!highest || byEnd[ended].last > highest.last) highest = byEnd[ended];
    }
    if (highest && highest.last >= call.first) found.push({ rule: 'backwards', one: highest, other: call });
  }
  return found;
}

function show({ began, ended, first, last, ...more }) {
  const said = Object.keys(more).length > 0 ? ` ${JSON.stringify(more)}` : '';
  return `[${began}, ${ended}] ${first}${first === last ? '' : `…${last}`}${said}`;
}
