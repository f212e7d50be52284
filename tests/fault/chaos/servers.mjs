// Faults of ZooKeeper and Redis. Never of two servers of the same kind at once: what is given back is whole again.

const AWAY_MS = 1_500;
const FROZEN_MS = 3_000;
// Longer than a session's time-out, now and then.
const OUTAGE_MS = 5_000;
const FROZEN_MOST_MS = 30_000;
// By then the Sentinels have found the death of a primary and made another one.
const FAILOVER_MS = 60_000;

const wholeZookeeper = (site) => () => site.zookeeper.whole();
const wholeRedis = (site) => () => site.redis.inSync();

export const SERVERS = {
  'zookeeper-kill': {
    weight: 3,
    draw(site, random) {
      const server = random.pick(site.zookeeper.servers);
      return zookeeper(site, () => kill(server), random.around(AWAY_MS));
    },
  },

  'zookeeper-leader-kill': {
    weight: 4,
    draw: (site, random) =>
      zookeeper(site, async () => kill((await site.zookeeper.leader()) ?? site.zookeeper.servers[0]), random.around(AWAY_MS)),
  },

  'zookeeper-freeze': {
    weight: 3,
    draw(site, random) {
      const server = random.pick(site.zookeeper.servers);
      return zookeeper(site, () => freeze(server), frozen(random));
    },
  },

  /** All three: nobody is registered, elected or expired meanwhile. */
  'zookeeper-outage': {
    weight: 1,
    draw(site, random) {
      const { servers } = site.zookeeper;
      return {
        target: servers.map(({ name }) => name).join(' '),
        needs: ['zookeeper'],
        ms: random.around(OUTAGE_MS),
        begin: () => Promise.all(servers.map((server) => server.kill9())).then(() => true),
        end: () => site.zookeeper.start(),
        healed: wholeZookeeper(site),
      };
    },
  },

  /** Killed, and started again once another one is the primary and the other replica follows it. */
  'redis-primary-kill': {
    weight: 5,
    draw(site, random) {
      const asReplica = random.chance(0.7);
      let old;
      return {
        needs: ['redis'],
        ms: random.around(AWAY_MS),
        async begin() {
          old = await site.redis.primary();
          if (!old) return false;
          this.target = old.name;
          await old.kill9();
          await site.redis.failover(old, FAILOVER_MS);
          return true;
        },
        // As an operator would who knows who the primary is; or as a supervisor, and the Sentinels tell it later.
        async end() {
          if (asReplica) await site.redis.follow(old);
          old.start();
        },
        healed: wholeRedis(site),
      };
    },
  },

  /** Frozen until another one has been made the primary, and not a moment longer: the other replica still follows this one. */
  'redis-primary-freeze': {
    weight: 3,
    draw: (site) => redis(site, async () => freeze(await primary(site)), 0, (old) => site.redis.promoted(old, FAILOVER_MS)),
  },

  'redis-replica-kill': {
    weight: 3,
    draw(site, random) {
      const which = random.integer(0, 1);
      return redis(site, async () => kill((await replicas(site))[which]), random.around(AWAY_MS));
    },
  },

  'redis-replica-freeze': {
    weight: 3,
    draw(site, random) {
      const which = random.integer(0, 1);
      return redis(site, async () => freeze((await replicas(site))[which]), frozen(random));
    },
  },

  'sentinel-kill': {
    weight: 1,
    draw(site, random) {
      const sentinel = random.pick(site.redis.sentinels);
      return redis(site, () => kill(sentinel), random.around(AWAY_MS));
    },
  },

  /** A host with a replica: its ZooKeeper, its Redis and its Sentinel at once. */
  'server-host-kill': {
    weight: 2,
    draw(site, random) {
      const which = random.integer(0, 1);
      let all;
      return {
        needs: ['redis', 'zookeeper'],
        ms: random.around(AWAY_MS),
        async begin() {
          const { host } = (await replicas(site))[which];
          all = [...site.zookeeper.servers, ...site.redis.servers, ...site.redis.sentinels].filter((process) => process.host === host);
          this.target = all.map(({ name }) => name).join(' ');
          await Promise.all(all.map((process) => process.kill9()));
        },
        end: () => all.forEach((process) => process.start()),
        healed: () => Promise.all([site.zookeeper.whole(), site.redis.inSync()]),
      };
    },
  },
};

const frozen = (random) => Math.min(random.around(FROZEN_MS), FROZEN_MOST_MS);

async function primary(site) {
  return (await site.redis.primary()) ?? site.redis.servers[0];
}

async function replicas(site) {
  const leading = await primary(site);
  return site.redis.servers.filter((server) => server !== leading);
}

async function kill(process) {
  await process.kill9();
  return { process, heal: () => process.start() };
}

function freeze(process) {
  process.freeze();
  return { process, heal: () => process.thaw() };
}

const zookeeper = (site, act, ms) => single('zookeeper', act, ms, wholeZookeeper(site));
const redis = (site, act, ms, lasts) => single('redis', act, ms, wholeRedis(site), lasts);

/** One fault of one process, which `act` chooses when it begins; `lasts` is waited for before it ends. */
function single(need, act, ms, healed, lasts) {
  let done;
  return {
    needs: [need],
    ms,
    async begin() {
      done = await act();
      this.target = done.process.name;
      await lasts?.(done.process);
    },
    end: () => done.heal(),
    healed,
  };
}
