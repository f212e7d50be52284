// What is taken from a process that lives: its ZooKeeper session, its connections to Redis, its clock.

import { writeFileSync } from 'node:fs';

import { NODE_HOSTS } from '../../support/hosts/site.mjs';
import { expire } from '../../support/hosts/session_thief.mjs';

export const SESSIONS = {
  /** The session of some process of a host is over, though the process goes on. */
  'session-expiry': {
    weight: 5,
    draw(site, random) {
      const host = site.network.host(random.pick(NODE_HOSTS));
      const chance = random.next();
      return {
        needs: [],
        ms: 0,
        async begin() {
          const sessions = await site.zookeeper.sessions(host);
          if (sessions.length === 0) return false;
          const { id, port, server } = sessions[Math.floor(chance * sessions.length)];
          this.target = `${whose(site, host, port)} ${id}`;
          return expire(id, server.host.address).then(
            () => true,
            () => false,
          );
        },
        end() {},
      };
    },
  },

  /** The relay's subscriptions of a host are cut, or all of its connections to the primary. */
  'relay-cut': {
    weight: 5,
    draw(site, random) {
      const host = site.network.host(random.pick(NODE_HOSTS));
      const all = random.chance(0.3);
      return {
        target: `${host.name}${all ? ', all connections' : ''}`,
        needs: [],
        ms: 0,
        async begin() {
          try {
            const primary = await site.redis.primary();
            if (!primary) return false;
            const kind = all ? [] : ['type', 'pubsub'];
            const clients = await site.redis.command(primary, 'client', 'list', ...kind);
            const theirs = [...clients.matchAll(/^id=(\d+) addr=([\d.]+):/gm)].filter(([, , address]) => address === host.address);
            for (const [, id] of theirs) await site.redis.command(primary, 'client', 'kill', 'id', id);
            return theirs.length > 0;
          } catch {
            // The primary is gone just now.
            return false;
          }
        },
        end() {},
      };
    },
  },

  /** The wall clock of an idgen is stepped, up to an hour either way, and back again. */
  'clock-step': {
    weight: 3,
    draw(site, random) {
      const { id, clock } = random.pick(site.of('idgen'));
      const by = Math.round((random.chance(0.5) ? -1 : 1) * Math.min(random.around(600_000), 3_600_000));
      return {
        target: `${id} by ${by} ms`,
        needs: [`clock of ${id}`],
        ms: random.around(4_000),
        begin() {
          if (!clock) return false;
          writeFileSync(clock, String(by));
          return true;
        },
        end: () => clock && writeFileSync(clock, '0'),
      };
    },
  },
};

/** The name of the process on a host that has this outgoing port. */
function whose(site, host, port) {
  const pid = /pid=(\d+)/.exec(host.run('ss', ['-tnpH', 'sport', '=', `:${port}`]))?.[1];
  // It may have ended meanwhile.
  const node = [...site.nodes.values()].find(({ process }) => process.pid === Number(pid));
  return node?.id ?? `somebody on ${host.name}`;
}
