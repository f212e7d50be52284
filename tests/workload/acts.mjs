// What a device does next, by weight: it writes, repeats itself, takes back, confirms, comes and goes, and is not always good at it.

// Times in milliseconds.
const SLOW = 1_500;
const BURST = 12;
const LARGE_BYTES = 24_000;

// What it confirms depends on its habit.
export const HABITS = { prompt: 40, late: 8, never: 0 };
const WEIGHTS = {
  write: 60,
  burst: 1,
  large: 3,
  twice: 5,
  again: 5,
  unanswered: 10,
  slow: 2,
  recall: 8,
  foreign: 1,
  read: 8,
  join: 2,
  leave: 2,
  enter: 4,
  exit: 2,
  say: 10,
  chatter: 1,
  signal: 6,
};

/** Chooses, and begins; nobody waits for it. */
export function act(device, connection) {
  const kind = device.random.weighted({ ...WEIGHTS, confirm: HABITS[device.habit] });
  void ACTS[kind](device, connection);
}

const ACTS = {
  write: ({ user, random }, connection) => user.send(connection, user.write(random)),

  burst({ user, random }, connection) {
    const to = user.destination(random);
    for (let count = 0; count < BURST; count += 1) void user.send(connection, user.write(random, to));
  },

  large: ({ user, random }, connection) => user.send(connection, user.write(random, undefined, random.integer(1, LARGE_BYTES))),

  twice({ user, random }, connection) {
    const send = user.write(random);
    for (let count = 0; count < 2; count += 1) void user.send(connection, send);
  },

  again({ user, random }, connection) {
    if (user.sent.length > 0) void user.send(connection, random.pick(user.sent));
  },

  unanswered({ user }, connection) {
    for (const send of user.unanswered.values()) void user.send(connection, send);
  },

  slow({ world, random }, connection) {
    world.count('pauses');
    connection.pause();
    setTimeout(() => connection.resume(), random.around(SLOW)).unref();
  },

  recall({ user, random }, connection) {
    if (user.sent.length > 0) void connection.recall(random.pick(user.sent));
  },

  /** Takes back what came, which somebody else has sent. */
  foreign({ random }, connection) {
    const [conversation, seq] = random.pick([...connection.last]) ?? [];
    if (seq) void connection.recall({ conversation, seq });
  },

  read({ random }, connection) {
    const [conversation, last] = random.pick([...connection.last]) ?? [];
    if (last) void connection.read(conversation, random.chance(0.3) ? random.integer(1, last) : last);
  },

  join: ({ world, random }, connection) => random.pick(world.groups).changeOf('add', connection),
  leave: ({ world, random }, connection) => random.pick(world.groups).changeOf('remove', connection),

  enter: ({ random }, connection) => connection.live.enter(random),
  exit: ({ random }, connection) => connection.live.exit(random),
  say: ({ random }, connection) => connection.live.say(random),
  chatter({ random }, connection) {
    for (let count = 0; count < BURST; count += 1) void connection.live.say(random);
  },
  signal: ({ random }, connection) => connection.live.signal(random),

  /** Everything, a part, or some conversations of what came on this connection. */
  confirm({ random, confirmed }, connection) {
    const acks = [];
    for (const [conversation, last] of connection.last) {
      const before = confirmed.get(conversation) ?? 0;
      if (last <= before || random.chance(0.2)) continue;
      const seq = random.chance(0.3) ? random.integer(before + 1, last) : last;
      confirmed.set(conversation, seq);
      acks.push({ conversation, seq });
    }
    if (acks.length > 0) void connection.ack(acks);
  },
};
