// What CI runs for some minutes: seeds that draw early what has to be among it (draws.test.mjs looks, without a cluster).

export const SEEDS = { loose: 20_261_121, strict: 20_261_464 };

/** Kinds without which a selection is none. */
export const WANTED = ['zookeeper-leader-kill', 'redis-primary-kill', 'session-expiry'];
