// Given a cluster on several hosts and users who write all the while, when processes, servers, sessions and paths between hosts fail as the
// seed draws it, many at a time, then no promise is broken. bin/chaos.sh does it for longer, and PHALANX_TEST_SEED repeats another draw.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { chaos } from '../chaos/run.mjs';
import { SEEDS, WANTED } from '../chaos/selection.mjs';

const MINUTES = 2.3;
// Far less than two cores that have nothing else to do get done: below this it has not tried.
const AT_LEAST = { faults: 30, acknowledged: 400, deliveries: 4_000, kinds: 8 };
const OTHER = process.env.PHALANX_TEST_SEED;

for (const [what, strict] of [
  ['the promises hold under faults', false],
  ['and ids come in the order of the calls where sends wait for ZooKeeper', true],
]) {
  test(what, { timeout: 600_000 }, async (context) => {
    const seed = OTHER === undefined ? SEEDS[strict ? 'strict' : 'loose'] : Number(OTHER) + Number(strict);
    const verdict = await chaos({ seed, strict, minutes: MINUTES, say: (text) => context.diagnostic(text) });
    const told = String(verdict);
    context.diagnostic(told);
    assert.ok(verdict.holds, told);
    assert.deepEqual(verdict.ended, [], 'nothing ended by itself');
    const { acknowledged, deliveries } = verdict.sums;
    const did = { faults: verdict.faults, acknowledged, deliveries, kinds: Object.keys(verdict.kinds).length };
    assert.deepEqual(Object.keys(AT_LEAST).filter((name) => !(did[name] >= AT_LEAST[name])), [], `it did too little: ${JSON.stringify(did)}`);
    // Which of them another seed has is its own affair.
    const missing = OTHER === undefined ? WANTED.filter((kind) => !(kind in verdict.kinds)) : [];
    assert.deepEqual(missing, [], `these were not injected: ${told}`);
  });
}
