// A storm as a test. PHALANX_TEST_SEED repeats the choices of an earlier run; run.mjs makes longer ones.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { withCluster } from '../support/suite.mjs';
import { environment, randomSeed, run } from './run.mjs';

/**
 * Registers the test: no promise is broken, and the run did enough to have tried.
 *
 * @param {{seconds: number, kept?: number, users?: number, kills?: number}} options as of run.mjs
 * @param {Record<string, number>} atLeast what must have been counted
 */
export function storm(name, options, atLeast) {
  const seed = Number(process.env.PHALANX_TEST_SEED ?? randomSeed());
  const suite = withCluster({ env: environment(seed, options.kept) });
  test(`${name}, seed ${seed}`, { timeout: 240_000 }, async (context) => {
    const began = performance.now();
    const say = (phase) => context.diagnostic(`${Math.round((performance.now() - began) / 1000)} s: ${phase}`);
    const { report, counts, path } = await run(suite.cluster, { seed, say, ...options });
    context.diagnostic(`seed ${seed}: ${JSON.stringify(counts)}`);
    assert.ok(report.holds, `seed ${seed}, the history is kept: ${path}\n${report}`);
    const idle = Object.entries(atLeast).filter(([what, count]) => !(counts[what] >= count));
    assert.deepEqual(idle, [], `the run did too little: ${JSON.stringify(counts)}`);
  });
}
