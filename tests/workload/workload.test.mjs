// Given many users whose devices come and go, groups that change, connections that are cut in the middle of a frame, a relay that
// loses, repeats, delays and reorders, and a node that is killed, when everything has healed, then no promise was broken.
//
// PHALANX_TEST_SEED repeats the choices of an earlier run; run.mjs makes longer ones.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { withCluster } from '../support/suite.mjs';
import { environment, randomSeed, run } from './run.mjs';

const SECONDS = 20;

// A tenth to a quarter of what a run does on two cores that have nothing else to do: below this it has not tried.
const AT_LEAST = {
  acknowledged: 200,
  deliveries: 4_000,
  duplicates: 60,
  reconnects: 50,
  cuts: 20,
  takeovers: 10,
  pauses: 10,
  kills: 1,
  'changes of members': 40,
  'sends without an answer': 10,
  'refused: not_member': 10,
  'spears: gaps_total': 20,
};

const seed = Number(process.env.PHALANX_TEST_SEED ?? randomSeed());
const suite = withCluster({ env: environment(seed) });

test(`the promises hold in a storm, seed ${seed}`, { timeout: 240_000 }, async (context) => {
  const began = performance.now();
  const say = (phase) => context.diagnostic(`${Math.round((performance.now() - began) / 1000)} s: ${phase}`);
  const { report, counts, path } = await run(suite.cluster, { seed, seconds: SECONDS, say });
  context.diagnostic(`seed ${seed}: ${JSON.stringify(counts)}`);
  assert.ok(report.holds, `seed ${seed}, the history is kept: ${path}\n${report}`);
  const idle = Object.entries(AT_LEAST).filter(([what, count]) => !(counts[what] >= count));
  assert.deepEqual(idle, [], `the run did too little: ${JSON.stringify(counts)}`);
});
