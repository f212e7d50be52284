// Faults without end against a cluster on several hosts, with clients all the while, and the checker's word on it. bin/chaos.sh runs it.
//
// It goes by rounds, so that memory stays bounded: new users and conversations, a storm of so many faults, everything heals, all devices
// come back, the checker judges the recorded history of the round. The cluster lives through all rounds.
//
//   kinds.mjs    the kinds of faults, and which overlap; one file for each sort of them
//   weather.mjs  draws and injects them, heals them
//   ids.mjs      ids over all rounds
//   verdict.mjs  what was found

import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

import { checkFile } from '../../checker/check.mjs';
import { whyNoHosts } from '../../support/hosts/network.mjs';
import { Site } from '../../support/hosts/site.mjs';
import { Random } from '../../workload/random.mjs';
import { environment, randomSeed } from '../../workload/run.mjs';
import { World } from '../../workload/world.mjs';
import { Ids } from './ids.mjs';
import { KINDS } from './kinds.mjs';
import { Verdict, line } from './verdict.mjs';
import { Weather } from './weather.mjs';

const FAULTS_A_ROUND = 40;
const USERS = 10;
const GROUPS = 3;
// Sends wait for ZooKeeper rather than for ids of their own.
const STRICT = { PHALANX__CLUSTER__ON_ZOOKEEPER_LOSS: 'stop' };

/**
 * Runs until so many faults were injected, or the time is over; the last round is whole, too.
 *
 * @param {{seed: number, faults?: number, minutes?: number, only?: string[], without?: string[], strict?: boolean, keep?: boolean,
 *   env?: Record<string, string>, say?: (text: string) => void}} options `only` and `without` name kinds; `strict`: ids are to be in the
 *   order of the calls, too; `keep`: histories and logs
 * @returns {Promise<Verdict>}
 */
export async function chaos(options) {
  const { seed, faults = Infinity, minutes = Infinity, only, without, strict = false, keep = false, env, say = () => {} } = options;
  const began = performance.now();
  const deadline = began + minutes * 60_000;
  const verdict = new Verdict(seed, mkdtempSync(join(tmpdir(), `phalanx-chaos-${seed}-`)));
  const site = await Site.start({ env: { ...settings(seed), ...(strict ? STRICT : {}), ...env } });
  let ran = false;
  try {
    const log = (entry) => {
      appendFileSync(join(verdict.directory, 'faults.jsonl'), `${JSON.stringify({ round: verdict.rounds, ...entry })}\n`);
    };
    const weather = new Weather(site, { random: new Random(seed).of('weather'), log, only, without });
    const ids = new Ids({ strict });
    Object.assign(verdict, { kinds: weather.counts, ended: weather.ended });
    while (weather.injected < faults && performance.now() < deadline) {
      verdict.rounds += 1;
      const count = Math.min(FAULTS_A_ROUND, faults - weather.injected);
      const path = join(verdict.directory, `round-${verdict.rounds}.jsonl`);
      const world = worldOf(site, verdict, path, () => weather.blow(count, deadline));
      await world.run();
      const [report, wrong] = [await checkFile(path), await ids.read(path)];
      Object.assign(verdict, { faults: weather.injected, ids: ids.count });
      const holds = verdict.add(world.counts, report, wrong);
      const time = `${((performance.now() - began) / 60_000).toFixed(1)} min, round ${verdict.rounds}`;
      say(`${time}: ${verdict.faults} faults; ${line(world.counts)}; ${holds ? 'all promises hold' : 'REFUTED'}`);
      if (!holds) say([report, ...wrong.twice, ...wrong.backwards, `the history: ${path}`].join('\n'));
      else if (!keep) rmSync(path);
    }
    ran = true;
  } finally {
    await site.dispose({ failed: !ran, keep: !ran || !verdict.isClean || keep });
  }
  if (verdict.isClean && !keep) rmSync(verdict.directory, { recursive: true });
  return verdict;
}

/** The settings of the cluster: those of the storm, but hints are lost by faults of hosts alone. */
function settings(seed) {
  return Object.fromEntries(Object.entries(environment(seed)).filter(([name]) => !name.startsWith('PHALANX__RELAY__FAULTS__')));
}

/** The users of one round. */
function worldOf(site, { seed, rounds }, path, trouble) {
  return new World(site, { seed: `${seed} ${rounds}`, prefix: `r${rounds}-`, users: USERS, groups: GROUPS, kept: 0, path, trouble });
}

async function main() {
  const text = { type: 'string' };
  const list = { ...text, multiple: true };
  const { values } = parseArgs({
    options: { seed: text, faults: text, minutes: text, only: list, without: list, set: list, keep: { type: 'boolean' }, strict: { type: 'boolean' } },
  });
  const names = (all = []) => all.flatMap((each) => each.split(','));
  const [only, without] = [names(values.only), names(values.without)];
  for (const name of [...only, ...without]) {
    if (!(name in KINDS)) throw new Error(`there is no kind ${name}; there is: ${Object.keys(KINDS).join(' ')}`);
  }
  const why = whyNoHosts();
  if (why) throw new Error(`no hosts can be made: ${why}`);
  const seed = Number(values.seed ?? randomSeed());
  const minutes = Number(values.minutes ?? Infinity);
  const faults = Number(values.faults ?? (minutes < Infinity ? Infinity : 100));
  if ([seed, minutes, faults].some(Number.isNaN)) throw new Error('--seed, --faults and --minutes are numbers');
  const env = Object.fromEntries((values.set ?? []).map((each) => each.split(/=(.*)/s, 2)));
  console.log(`seed ${seed}: ${faults < Infinity ? `${faults} faults` : 'faults'}${minutes < Infinity ? ` for at most ${minutes} minutes` : ''}`);
  const verdict = await chaos({ seed, faults, minutes, only, without, strict: values.strict, keep: values.keep, env, say: console.log });
  console.log(String(verdict));
  process.exit(verdict.holds ? 0 : 1);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await main().catch((error) => {
    console.error(error.stack);
    process.exit(2);
  });
}
