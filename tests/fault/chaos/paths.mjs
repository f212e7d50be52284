// What goes wrong between hosts. Nothing tells either end: no RST, no ICMP.
//
// A host of servers is cut off from the other two by `cut-server`, where it holds a replica, and by `redis-primary-cut`. Between hosts of
// servers nothing else goes wrong, no loss and no thin link: the Sentinels would replace a primary that lives, at any time. A host of nodes
// may lose the way to any server, all of it or some packets.

import { NODE_HOSTS, SERVER_HOSTS } from '../../support/hosts/site.mjs';

const LASTS_MS = 4_000;
const MOST_MS = 20_000;
const FAILOVER_MS = 60_000;

let owners = 0;

export const PATHS = {
  /** Two hosts do not reach one another; or one does not reach the other. At least one has nodes of ours, or is the clients'. */
  'cut-pair': {
    weight: 5,
    draw(site, random) {
      const near = random.pick(NODE_HOSTS);
      const far = random.pick([...NODE_HOSTS, ...SERVER_HOSTS, 'outside'].filter((name) => name !== near));
      return cut(site, random, [near], [far]);
    },
  },

  /** The hosts of our nodes fall into two parts; the servers and the clients reach both. */
  'cut-nodes': {
    weight: 2,
    draw(site, random) {
      const [alone, ...others] = random.sample(NODE_HOSTS, NODE_HOSTS.length);
      return cut(site, random, [alone], others);
    },
  },

  /** A part of the nodes is cut off from everything, or only from all servers. */
  'cut-half': {
    weight: 3,
    draw(site, random) {
      const some = random.sample(NODE_HOSTS, random.integer(1, 2));
      const others = NODE_HOSTS.filter((name) => !some.includes(name));
      const far = random.chance(0.5) ? [...others, ...SERVER_HOSTS, 'outside'] : SERVER_HOSTS;
      return cut(site, random, some, far);
    },
  },

  /** One host of servers, with a replica, and one of nodes on this side; all others on that side. */
  'cut-server': {
    weight: 2,
    draw(site, random) {
      const which = random.integer(0, 1);
      return serverCut(site, random, async () => (await others(site))[which]);
    },
  },

  'redis-primary-cut': {
    weight: 2,
    draw(site, random) {
      const leading = async () => (await site.redis.primary()) ?? site.redis.servers[0];
      const until = random.chance(0.7) ? async (old) => site.redis.promoted(old, FAILOVER_MS) : undefined;
      return serverCut(site, random, async () => (await leading()).host.name, until);
    },
  },

  /** Packets to and from a host of nodes get lost. */
  loss: {
    weight: 3,
    draw(site, random) {
      const name = random.pick(NODE_HOSTS);
      const percent = random.integer(5, 40);
      const far = [...NODE_HOSTS, ...SERVER_HOSTS, 'outside'].filter((other) => other !== name);
      return drop(site, random, [name], far, `${percent} % of ${name}`, { percent });
    },
  },

  /** A host of nodes sends through a thin link: what does not fit waits in its queue, and is dropped where the queue is full. */
  slow: {
    weight: 3,
    draw(site, random) {
      const name = random.pick(NODE_HOSTS);
      const owner = nextOwner();
      const { rules } = site.network;
      return {
        target: name,
        needs: [`thin ${name}`],
        ms: lasting(random),
        begin: () => rules.slow(owner, name),
        end: () => rules.heal(owner),
      };
    },
  },
};

async function others(site) {
  const primary = (await site.redis.primary()) ?? site.redis.servers[0];
  return SERVER_HOSTS.filter((name) => name !== primary.host.name);
}

function cut(site, random, from, to) {
  const oneWay = random.chance(0.4);
  const [near, far] = random.chance(0.5) ? [from, to] : [to, from];
  return drop(site, random, near, far, `${near}${oneWay ? ' to ' : ' and '}${far}`, { oneWay });
}

function drop(site, random, from, to, target, options) {
  const owner = nextOwner();
  const { rules } = site.network;
  return { target, needs: [], ms: lasting(random), begin: () => rules.drop(owner, from, to, options), end: () => rules.heal(owner) };
}

/** `lasts` is waited for, with the server that is cut off, instead of a time. */
function serverCut(site, random, choose, lasts) {
  const owner = nextOwner();
  const { rules } = site.network;
  const node = random.pick(NODE_HOSTS);
  const oneWay = random.chance(0.3);
  return {
    needs: ['redis', 'zookeeper'],
    ms: lasts ? 0 : lasting(random),
    async begin() {
      const server = await choose();
      const far = [...SERVER_HOSTS, ...NODE_HOSTS].filter((name) => name !== server && name !== node);
      this.target = `${server},${node}${oneWay ? ' to ' : ' and '}${far}`;
      rules.drop(owner, [server, node], far, { oneWay });
      await lasts?.(site.redis.servers.find(({ host }) => host.name === server));
    },
    end: () => rules.heal(owner),
    healed: () => Promise.all([site.zookeeper.whole(), site.redis.inSync()]),
  };
}

const lasting = (random) => Math.min(500 + random.around(LASTS_MS), MOST_MS);

function nextOwner() {
  owners += 1;
  return `path ${owners}`;
}
