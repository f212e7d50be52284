// What a seed draws, without a cluster: for each round and lane a list of faults that never ends.
//
// Each fault has a stream of its own, named by round, lane and number. So nothing that differs in time (how many faults of a lane a round
// has room for, whether there was anything to do one to, who the primary is) changes what is drawn later.

import { Random } from '../../workload/random.mjs';
import { LANES } from './kinds.mjs';

/** The lanes, with the weights of the kinds that are wanted: `only` and `without` name kinds. Lanes without any are left out. */
export function lanesOf({ only = [], without = [] } = {}) {
  const wanted = (name) => (only.length === 0 || only.includes(name)) && !without.includes(name);
  return LANES.map((lane) => ({
    ...lane,
    weights: Object.fromEntries(Object.entries(lane.kinds).filter(([name]) => wanted(name)).map(([name, { weight }]) => [name, weight])),
  })).filter(({ weights }) => Object.keys(weights).length > 0);
}

/**
 * What a lane (of `lanesOf`) has in a round, in this order: `{number, rest, kind, random}`. `rest` is the pause before it in milliseconds,
 * `random` what `draw` of the kind goes on with.
 */
export function* draws(seed, round, { name, pause, weights }) {
  for (let number = 1; ; number += 1) {
    const random = new Random(seed).of(`weather, round ${round}, ${name}, ${number}`);
    yield { number, rest: random.around(pause), kind: random.weighted(weights), random };
  }
}
