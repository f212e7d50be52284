// Faults of our own nodes.

import { NODE_HOSTS } from '../../support/hosts/site.mjs';

const AWAY_MS = 1_500;
const FROZEN_MS = 4_000;
const FROZEN_MOST_MS = 30_000;

export const PROCESSES = {
  kill: {
    weight: 10,
    draw: (site, random) => killed([random.pick([...site.nodes.values()])], random),
  },

  freeze: {
    weight: 6,
    draw(site, random) {
      const { id, process } = random.pick([...site.nodes.values()]);
      const ms = Math.min(random.around(FROZEN_MS), FROZEN_MOST_MS);
      return { target: id, needs: [id], ms, begin: () => process.freeze(), end: () => process.thaw() };
    },
  },

  /** Everything of ours on one host. */
  'kill-host': {
    weight: 1,
    draw(site, random) {
      const name = random.pick(NODE_HOSTS);
      return killed([...site.nodes.values()].filter(({ host }) => host.name === name), random);
    },
  },

  /** Every node of one role. */
  'kill-role': {
    weight: 1,
    draw: (site, random) => killed(site.of(random.pick(['spear', 'idgen', 'ticket', 'stat'])), random),
  },

  /** Everything of ours at once. */
  'kill-all': {
    weight: 0.5,
    draw: (site, random) => killed([...site.nodes.values()], random),
  },
};

function killed(nodes, random) {
  const ids = nodes.map(({ id }) => id);
  return {
    target: ids.join(' '),
    needs: ids,
    ms: random.around(AWAY_MS),
    begin: () => Promise.all(nodes.map(({ process }) => process.kill9())),
    end: () => nodes.forEach(({ process }) => process.start()),
  };
}
