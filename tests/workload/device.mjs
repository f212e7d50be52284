// One device of a user: it comes and goes, writes, reads, confirms, and is not always good at it.

import { Connection } from './connection.mjs';

// Times in milliseconds.
const BETWEEN_ACTS = 160;
const ONLINE = 4_000;
const OFFLINE = 900;
const RETRY = 250;
const SLOW = 1_500;
const IN_FLIGHT_MAX = 12;
const BURST = 12;
// Most cuts come within what a connection gets in its time; some in its handshake.
const CUT_BYTES = [300, 40_000];
const LARGE_BYTES = 24_000;

// What it does next, by weight. What it confirms depends on its habit.
const ACTS = { write: 60, burst: 1, large: 3, twice: 5, again: 5, unanswered: 10, slow: 2 };
const HABITS = { prompt: 40, late: 8, never: 0 };
const ENDS = { cut: 4, goodbye: 3, takeover: 3 };

export class Device {
  /** The line at which it first began to connect; undefined before. */
  began = undefined;
  connection = undefined;
  /** conversation → the highest `seq` that it confirmed */
  confirmed = new Map();
  /** `ready` of the first connection that was let in. */
  firstReady = undefined;
  #habit;

  constructor(world, user, name) {
    Object.assign(this, { world, user, name });
    this.random = world.random.of(`device ${user.name}/${name}`);
    this.#habit = this.random.pick(Object.keys(HABITS));
  }

  /** Whether it surely is the user's first device, which gets everything from the beginning. */
  get isFirst() {
    const others = this.user.devices.filter((device) => device !== this);
    return others.every(({ began }) => began === undefined || began > this.firstReady.line);
  }

  /** Until the storm is over. */
  async live() {
    await this.world.rest(this.random.around(OFFLINE * 2));
    while (!this.world.isOver) {
      const connection = await this.connect(this.#circumstances());
      if (!connection.ready) {
        await this.world.rest(this.random.around(RETRY));
        continue;
      }
      await this.#stay(connection);
      await this.#leave(connection);
    }
    this.connection?.close('the storm is over');
    await this.connection?.settled();
  }

  async connect(circumstances) {
    const connection = await Connection.of(this.world, this, circumstances);
    this.began ??= connection.began;
    if (!connection.ready) {
      this.world.count('not let in');
      return connection;
    }
    if (this.firstReady) this.world.count('reconnects');
    this.firstReady ??= connection.ready;
    this.connection = connection;
    return connection;
  }

  /** How the next connection will go. */
  #circumstances() {
    const { random } = this;
    const bytes = () => Math.round(CUT_BYTES[0] + random.around(CUT_BYTES[1]));
    const fate = random.weighted({ well: 5, down: 3, up: 2 });
    return {
      fate: fate === 'well' ? {} : { [fate]: bytes() },
      avoid: random.chance(0.25) ? [this.connection?.node ?? 'spear-1'] : undefined,
      transports: random.chance(0.2) ? ['polling', 'websocket'] : ['websocket'],
    };
  }

  async #stay(connection) {
    const until = performance.now() + this.random.around(ONLINE);
    while (!connection.ended && !this.world.isOver && performance.now() < until) {
      this.#act(connection);
      await this.world.rest(this.random.around(BETWEEN_ACTS));
    }
    connection.resume();
  }

  async #leave(connection) {
    if (connection.ended) {
      await this.world.rest(this.random.around(OFFLINE));
      return;
    }
    switch (this.random.weighted(ENDS)) {
      case 'cut':
        connection.cut();
        break;
      case 'goodbye':
        connection.close();
        break;
      case 'takeover':
        // It stays, and the next connection of this device replaces it.
        this.world.count('takeovers');
        return;
    }
    await this.world.rest(this.random.around(OFFLINE));
  }

  #act(connection) {
    const { random, user } = this;
    if (connection.ended || connection.inFlight > IN_FLIGHT_MAX) return;
    switch (random.weighted({ ...ACTS, confirm: HABITS[this.#habit] })) {
      case 'write':
        return void user.send(connection, user.write(random));
      case 'burst': {
        const to = user.destination(random);
        for (let count = 0; count < BURST; count += 1) user.send(connection, user.write(random, to));
        return;
      }
      case 'large':
        return void user.send(connection, user.write(random, undefined, random.integer(1, LARGE_BYTES)));
      case 'twice': {
        const send = user.write(random);
        user.send(connection, send);
        return void user.send(connection, send);
      }
      case 'again':
        if (user.sent.length > 0) user.send(connection, random.pick(user.sent));
        return;
      case 'unanswered':
        for (const send of user.unanswered.values()) user.send(connection, send);
        return;
      case 'slow':
        this.world.count('pauses');
        connection.pause();
        return void setTimeout(() => connection.resume(), random.around(SLOW)).unref();
      case 'confirm':
        return this.#confirm(connection);
    }
  }

  /** Everything, a part, or some conversations of what came on this connection. */
  #confirm(connection) {
    const { random } = this;
    const acks = [];
    for (const [conversation, last] of connection.last) {
      const confirmed = this.confirmed.get(conversation) ?? 0;
      if (last <= confirmed || random.chance(0.2)) continue;
      const seq = random.chance(0.3) ? random.integer(confirmed + 1, last) : last;
      this.confirmed.set(conversation, seq);
      acks.push({ conversation, seq });
    }
    if (acks.length > 0) void connection.ack(acks);
  }
}
