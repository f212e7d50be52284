// The kinds of faults. Each draws what it does to whom, from a stream of the seed; `begin` does it, `end` heals it.
//
//   processes.mjs  kill -9 and SIGSTOP of our own nodes: one, all of a host, all of a role
//   servers.mjs    ZooKeeper and Redis: leader and primary, the others, whole hosts
//   paths.mjs      what goes wrong between hosts: cuts, one-way too, loss, a thin link
//   sessions.mjs   ZooKeeper sessions that expire, connections to the relay that are cut
//
// # Which faults overlap
//
// The promises are made for any single fault. More is drawn wherever they still hold: faults of our own nodes, and of the paths that
// these have, overlap without limit, also with those of servers. What never happens together is named by `needs`: whoever needs `redis`
// waits until no other one does, and gives it back only when the primary has two replicas again that follow it closely and the Sentinels
// agree; so the primary and the only replica that confirmed are never lost together. `zookeeper` likewise: two of three servers stay, save
// in an outage. A node is killed or frozen by one fault at a time, and a host has one thin link, a clock one step. `session-expiry`,
// `relay-cut`, cuts of nodes' paths and loss need nothing: they come whatever else is amiss, also over one another.

import { PATHS } from './paths.mjs';
import { PROCESSES } from './processes.mjs';
import { SERVERS } from './servers.mjs';
import { SESSIONS } from './sessions.mjs';

/**
 * What goes wrong at the same time: faults of one lane come one after the other, each lane with a stream and a pause of its own.
 *
 * A kind is `{weight, draw(site, random)}`; a draw is `{target, needs, ms, begin(), end(), healed?()}`: `target` may be set by `begin`, `ms`
 * is how long it lasts, `healed` is waited for before what it needs is given back. `begin` may answer false: there was nothing to do it to.
 * All that is drawn is drawn by `draw`; `begin` only looks who it meets: the leader, the primary, a session (draws.mjs).
 */
export const LANES = [
  { name: 'processes', pause: 2_500, kinds: PROCESSES },
  { name: 'other processes', pause: 5_000, kinds: PROCESSES },
  { name: 'servers', pause: 1_500, kinds: SERVERS },
  { name: 'paths', pause: 3_500, kinds: PATHS },
  { name: 'sessions', pause: 4_000, kinds: SESSIONS },
];

/** Every kind, by name. */
export const KINDS = Object.assign({}, ...LANES.map(({ kinds }) => kinds));
