// A randomised run against a real cluster, and the checker's word on it.
//
//     node tests/workload/run.mjs [--seed N] [--seconds S] [--users U] [--groups G] [--kills K] [--kept N] [--history FILE]
//
// Many users with several devices each; direct conversations, groups that change and rooms; sends that are repeated, on purpose and for
// want of an answer, and taken back; devices that confirm late, partly or never, stop reading, are cut in the middle of a frame or connect
// twice; a relay that loses, repeats, delays and reorders; nodes that are killed; with --kept N retention, which leaves the newest N of
// each conversation. The seed repeats all choices, not the timing. PHALANX_TEST_PROFILE and PHALANX_BIN as for the other tests. Ends with
// 1 where a promise is broken, and keeps the history.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

import { checkFile } from '../checker/check.mjs';
import { Cluster } from '../support/cluster.mjs';
import { PROFILE } from '../support/profile.mjs';
import { answered } from './answers.mjs';
import { World } from './world.mjs';

const DEFAULTS = { seconds: 20, users: 24, groups: 6, kills: 1, kept: 0 };

/** The settings of a cluster for a run: a relay that fails, little room for clients that do not read, and retention unless `kept` is 0. */
export function environment(seed, kept = 0) {
  const retention = { PHALANX__STORE__RETENTION__COUNT: String(kept), PHALANX__STORE__RETENTION__INTERVAL_MS: '100' };
  return {
    ...(kept > 0 ? retention : {}),
    PHALANX__RELAY__FAULTS__DROP_EVERY: '8',
    PHALANX__RELAY__FAULTS__REPEAT_EVERY: '6',
    PHALANX__RELAY__FAULTS__DELAY_EVERY: '8',
    PHALANX__RELAY__FAULTS__DELAY_MS: '80',
    PHALANX__RELAY__FAULTS__REORDER_EVERY: '5',
    PHALANX__RELAY__FAULTS__SEED: String(seed),
    PHALANX__SPEAR__SOCKET__OUTGOING_BYTES: '16384',
    // What was sent longer than a heartbeat ago counts as received, and is not told again: so that this matters within a run.
    PHALANX__SPEAR__SOCKET__PING_INTERVAL_MS: '2000',
    PHALANX__SPEAR__SOCKET__PING_TIMEOUT_MS: '3000',
    // What is lost without a trace is found by a sweep: soon, so that the end need not wait long.
    PHALANX__SPEAR__DELIVERY__SWEEP_INTERVAL_MS: '1000',
    PHALANX__SPEAR__DELIVERY__SUSPECT_SWEEP_INTERVAL_MS: '250',
  };
}

export function randomSeed() {
  return 1 + Math.floor(Math.random() * 999_999);
}

/** Runs and checks; answers `{report, counts, path}`. A history that holds is removed, unless `history` says where to keep it. */
export async function run(cluster, { seed, history, ...options }) {
  const path = history ?? join(mkdtempSync(join(tmpdir(), 'phalanx-history-')), 'history.jsonl');
  const world = new World(cluster, { ...DEFAULTS, ...options, seed, path });
  await world.run();
  const report = await checkFile(path);
  const counts = { ...world.counts, events: world.recorder.lines, connections: world.connections, ...(await spears(cluster)) };
  if (report.holds && !history) rmSync(dirname(path), { recursive: true });
  return { report, counts, path };
}

/** What the spears count since their last start. */
async function spears(cluster) {
  const { body } = await answered(cluster, 'GET', '/v1/cluster');
  const sums = {};
  for (const { role, counters } of body.nodes) {
    if (role !== 'spear') continue;
    for (const [name, value] of Object.entries(counters)) {
      if (/gaps|behind|hints|sweeps/.test(name)) sums[`spears: ${name}`] = (sums[`spears: ${name}`] ?? 0) + value;
    }
  }
  return sums;
}

async function main() {
  const number = (text) => (text === undefined ? undefined : Number(text));
  const text = { type: 'string' };
  const { values } = parseArgs({
    options: { seed: text, seconds: text, users: text, groups: text, kills: text, kept: text, history: text },
  });
  const seed = number(values.seed) ?? randomSeed();
  const options = Object.fromEntries(
    Object.keys(DEFAULTS).map((name) => [name, number(values[name]) ?? DEFAULTS[name]]),
  );
  console.log(`profile ${PROFILE}, seed ${seed}, ${JSON.stringify(options)}`);
  const cluster = await Cluster.start({ env: environment(seed, options.kept) });
  let holds = false;
  try {
    const began = performance.now();
    const say = (phase) => console.log(`${Math.round((performance.now() - began) / 1000)} s: ${phase}`);
    const { report, counts, path } = await run(cluster, { seed, history: values.history, say, ...options });
    holds = report.holds;
    console.log(counts);
    console.log(String(report));
    console.log(`${Math.round((performance.now() - began) / 1000)} s${holds ? '' : `; the history: ${path}`}`);
  } finally {
    await cluster.dispose();
  }
  process.exit(holds ? 0 : 1);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main();
