// Faults without end against a cluster on several hosts, with clients all the while, and the checker's word on it. bin/chaos.sh runs it.
//
// It goes by rounds, so that memory stays bounded: new users and conversations, a storm of so many faults (weather.mjs), everything heals,
// all devices come back, the checker judges the recorded history of the round. The cluster lives through all rounds.

import { appendFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
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
import { KINDS, REFUTED } from './kinds.mjs';
import { Weather } from './weather.mjs';

const FAULTS_A_ROUND = 40;
const USERS = 10;
const GROUPS = 3;

/** The settings of the cluster: those of the storm, but hints are lost by faults of hosts alone. */
function settings(seed) {
  const kept = Object.entries(environment(seed)).filter(([name]) => !name.startsWith('PHALANX__RELAY__FAULTS__'));
  return Object.fromEntries(kept);
}

/**
 * Runs until so many faults were injected, or the time is over, in whole rounds.
 *
 * @param {{seed: number, faults: number, minutes?: number, only?: string[], without?: string[], keep?: boolean, env?: object,
 *   say?: (text: string) => void}} options
 * @returns {Promise<{holds: boolean, rounds: number, faults: number, counts: object, sums: object, broken: object, directory: string}>}
 */
export async function chaos({ seed, faults, minutes = Infinity, only, without, keep = false, env = {}, say = () => {} }) {
  const directory = mkdtempSync(join(tmpdir(), `phalanx-chaos-${seed}-`));
  mkdirSync(directory, { recursive: true });
  const began = performance.now();
  const deadline = began + minutes * 60_000;
  const verdict = { holds: true, rounds: 0, faults: 0, counts: {}, sums: {}, broken: {}, directory };
  const ids = new Ids();
  const site = await Site.start({ env: { ...settings(seed), ...env } });
  let whole = false;
  try {
    const log = (line) => appendFileSync(join(directory, 'faults.jsonl'), `${JSON.stringify({ round: verdict.rounds, ...line })}\n`);
    const weather = new Weather(site, { random: new Random(seed).of('weather'), log, only, without });
    verdict.counts = weather.counts;
    while (weather.injected < faults && performance.now() < deadline) {
      verdict.rounds += 1;
      const path = join(directory, `round-${verdict.rounds}.jsonl`);
      const count = Math.min(FAULTS_A_ROUND, faults - weather.injected);
      const world = new World(site, {
        seed: `${seed} ${verdict.rounds}`,
        prefix: `r${verdict.rounds}-`,
        users: USERS,
        groups: GROUPS,
        kept: 0,
        path,
        trouble: () => weather.blow(count, deadline),
      });
      await world.run();
      const report = await checkFile(path);
      const twice = await ids.read(path);
      add(verdict.sums, world.counts);
      add(verdict.broken, Object.fromEntries(report.counts));
      if (twice.length > 0) add(verdict.broken, { 'id given twice': twice.length });
      verdict.faults = weather.injected;
      const holds = report.holds && twice.length === 0;
      const minutesGone = ((performance.now() - began) / 60_000).toFixed(1);
      say(`${minutesGone} min, round ${verdict.rounds}: ${weather.injected} faults; ${summary(world.counts)}; ${holds ? 'all promises hold' : 'REFUTED'}`);
      if (!holds) {
        verdict.holds = false;
        say(`${report}\n${twice.map(({ id, places }) => `id ${id} given twice: ${places.join(', ')}`).join('\n')}\nthe history: ${path}`);
      } else if (!keep) {
        rmSync(path);
      }
    }
    verdict.ids = ids.count;
    verdict.ended = weather.ended;
    whole = true;
  } finally {
    await site.dispose({ failed: !whole, keep: !whole || !verdict.holds || keep });
  }
  if (verdict.holds && !keep) rmSync(directory, { recursive: true });
  return verdict;
}

function summary(counts) {
  const refused = Object.entries(counts).filter(([what]) => what.startsWith('refused: unavailable'));
  const none = refused.reduce((sum, [, count]) => sum + count, 0);
  return `${counts.acknowledged ?? 0} acknowledged, ${none} refused, ${counts['sends without an answer'] ?? 0} unanswered, ${counts.deliveries ?? 0} delivered`;
}

function add(sums, counts) {
  for (const [what, count] of Object.entries(counts)) sums[what] = (sums[what] ?? 0) + count;
}

/** The verdict as people read it. */
export function tell(verdict, seed) {
  const { broken, counts, sums } = verdict;
  const of = (...rules) => rules.reduce((sum, rule) => sum + (broken[rule] ?? 0), 0);
  const known = ['lost', 'hole', 'unstored', 'undelivered', 'stored twice', 'two at one seq', 'one at two seqs', 'backwards', 'overtaken', 'skipped'];
  const others = Object.entries(broken).filter(([rule]) => !known.includes(rule));
  return [
    `seed ${seed}: ${verdict.faults} faults in ${verdict.rounds} rounds`,
    ...Object.entries(counts).sort(([, a], [, b]) => b - a).map(([kind, count]) => `  ${String(count).padStart(5)} ${kind}`),
    `${sums.acknowledged ?? 0} sends acknowledged, ${sums.deliveries ?? 0} deliveries, ${verdict.ids} ids`,
    `lost ${of('lost', 'hole', 'unstored', 'undelivered')}, duplicated ${of('stored twice', 'two at one seq', 'one at two seqs')}, reordered ${of('backwards', 'overtaken', 'skipped')}${others.map(([rule, count]) => `, ${rule} ${count}`).join('')}`,
    ...(verdict.ended ?? []).map(({ name, end }) => `ended by itself: ${name} ${JSON.stringify(end)}`),
    verdict.holds ? 'all promises hold' : `REFUTED; the histories are in ${verdict.directory}`,
  ].join('\n');
}

async function main() {
  const text = { type: 'string' };
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { seed: text, faults: text, minutes: text, only: { ...text, multiple: true }, without: { ...text, multiple: true }, keep: { type: 'boolean' }, set: { ...text, multiple: true } },
  });
  if (positionals.length > 0) throw new Error(`what is ${positionals[0]}?`);
  const names = (list = []) => list.flatMap((each) => each.split(','));
  const [only, without] = [names(values.only), names(values.without)];
  for (const name of [...only, ...without]) {
    if (!(name in KINDS)) throw new Error(`there is no kind ${name}; there is: ${Object.keys(KINDS).join(' ')}`);
  }
  const why = whyNoHosts();
  if (why) throw new Error(`no hosts can be made: ${why}`);
  const seed = Number(values.seed ?? randomSeed());
  const faults = Number(values.faults ?? (values.minutes ? Infinity : 100));
  console.log(`seed ${seed}, ${faults} faults${values.minutes ? `, at most ${values.minutes} minutes` : ''}`);
  for (const name of only.filter((each) => each in REFUTED)) console.log(`${name} is known to lose messages: ${REFUTED[name]}`);
  const env = Object.fromEntries((values.set ?? []).map((each) => [each.slice(0, each.indexOf('=')), each.slice(each.indexOf('=') + 1)]));
  const minutes = Number(values.minutes ?? Infinity);
  const verdict = await chaos({ seed, faults, minutes, only, without, keep: values.keep, env, say: console.log });
  console.log(tell(verdict, seed));
  process.exit(verdict.holds ? 0 : 1);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await main().catch((error) => {
    console.error(error.stack ?? error);
    process.exit(2);
  });
}
