// Faults without end against a cluster on several hosts, with clients all the while, and the checker's word on it. bin/chaos.sh runs it.
//
// It goes by rounds, so that memory stays bounded: new users and conversations, a storm of so many faults, everything heals, all devices
// come back, the checker judges the recorded history of the round. The cluster lives through all rounds.
//
//   options.mjs    the command line
//   kinds.mjs      the kinds of faults, and which overlap; one file for each sort of them
//   draws.mjs      what a seed draws
//   selection.mjs  the seeds of CI, and what these are to draw
//   weather.mjs    injects it, and heals it
//   ids.mjs        ids over all rounds
//   verdict.mjs    what was found

import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { checkFile } from '../../checker/check.mjs';
import { Site, whyNoSite } from '../../support/hosts/site.mjs';
import { ROOT, onInterrupt } from '../../support/process.mjs';
import { environment } from '../../workload/run.mjs';
import { World } from '../../workload/world.mjs';
import { Ids } from './ids.mjs';
import { Refused, parse } from './options.mjs';
import { Verdict, line } from './verdict.mjs';
import { Weather } from './weather.mjs';

const FAULTS_A_ROUND = 40;
const USERS = 10;
const GROUPS = 3;
const WATCH_MS = 500;
// Of what is wrong with ids in a round, of each sort.
const SHOWN = 10;
// Sends wait for ZooKeeper rather than for ids of their own.
const STRICT = { PHALANX__CLUSTER__ON_ZOOKEEPER_LOSS: 'stop' };

/**
 * Runs until so many faults were injected, or the time is over; the last round is whole, too.
 *
 * @param {{seed: number, faults?: number, minutes?: number, only?: string[], without?: string[], strict?: boolean, keep?: boolean,
 *   interruptible?: boolean, env?: Record<string, string>, say?: (text: string) => void}} options `only` and `without` name kinds; `strict`:
 *   ids are to be in the order of the calls, too; `keep`: histories and logs; `interruptible`: Ctrl-C ends the round, and the run with it
 * @returns {Promise<Verdict>} rejects where the run itself failed; `verdict` of the error is what was found until then
 */
export async function chaos(options) {
  const { seed, faults = Infinity, minutes = Infinity, only, without, env, say = () => {} } = options;
  const { strict = false, keep = false, interruptible = false } = options;
  const began = performance.now();
  const deadline = began + minutes * 60_000;
  const site = await Site.start({ env: { ...settings(seed), ...(strict ? STRICT : {}), ...env } });
  const verdict = new Verdict(seed, mkdtempSync(join(tmpdir(), `phalanx-chaos-${seed}-`)));
  const log = (entry) => {
    appendFileSync(join(verdict.directory, 'faults.jsonl'), `${JSON.stringify({ round: verdict.rounds, ...entry })}\n`);
  };
  const weather = new Weather(site, { seed, log, only, without });
  const ids = new Ids({ strict });
  Object.assign(verdict, { kinds: weather.counts, ended: weather.ended });
  // All the while: what ends by itself may do so when no fault is about.
  const watching = setInterval(() => weather.watch(), WATCH_MS);
  const goOn = interruptible && onInterrupt(() => {
    verdict.interrupted = true;
    weather.stop();
    say(`interrupted: the round ends, everything heals, the verdict follows; once more ends at once. The histories: ${verdict.directory}`);
  });
  let ran = false;
  try {
    while (!weather.isStopped && weather.injected < faults && performance.now() < deadline) {
      verdict.rounds += 1;
      const ended = verdict.ended.length;
      const count = Math.min(FAULTS_A_ROUND, faults - weather.injected);
      const path = join(verdict.directory, `round-${verdict.rounds}.jsonl`);
      const world = worldOf(site, verdict, path, () => weather.blow(verdict.rounds, count, deadline));
      await world.run();
      const [report, wrong] = [await checkFile(path), await ids.read(path)];
      weather.watch();
      Object.assign(verdict, { faults: weather.injected, ids: ids.count });
      const holds = verdict.add(world.counts, report, wrong);
      const time = `${((performance.now() - began) / 60_000).toFixed(1)} min, round ${verdict.rounds}`;
      say(`${time}: ${verdict.faults} faults; ${line(world.counts)}; ${holds ? 'all promises hold' : 'REFUTED'}`);
      if (!holds) say([report, ...wrong.twice.slice(0, SHOWN), ...wrong.backwards.slice(0, SHOWN)].join('\n'));
      if (!holds || verdict.ended.length > ended) {
        // Whatever comes later, and however the run ends.
        site.keep();
        say(`the history: ${path}; the logs: ${site.logs}`);
      } else if (!keep && !verdict.interrupted) {
        rmSync(path);
      }
    }
    ran = true;
  } catch (error) {
    verdict.broke = true;
    throw Object.assign(error, { verdict });
  } finally {
    clearInterval(watching);
    if (goOn) goOn();
    weather.watch();
    verdict.faults = weather.injected;
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
  const options = parse(process.argv.slice(2));
  if (options.help) return execFileSync(join(ROOT, 'bin', 'chaos.sh'), ['--help'], { stdio: 'inherit' });
  const why = whyNoSite();
  if (why) throw new Refused(why);
  const { seed, faults, minutes } = options;
  console.log(`seed ${seed}: ${faults < Infinity ? `${faults} faults` : 'faults'}${minutes < Infinity ? ` for at most ${minutes} minutes` : ''}`);
  const verdict = await chaos({ ...options, interruptible: true, say: console.log });
  console.log(String(verdict));
  return process.exit(verdict.exitCode);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await main().catch((error) => {
    console.error(error instanceof Refused ? `chaos: ${error.message}` : error.stack);
    const { verdict } = error;
    if (verdict) console.log(String(verdict));
    process.exit(verdict?.exitCode ?? 2);
  });
}
