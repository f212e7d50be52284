// One device of a user: it comes and goes, and acts while it is there.

import { HABITS, act } from './acts.mjs';
import { Connection } from './connection.mjs';

// Times in milliseconds.
const BETWEEN_ACTS = 160;
const ONLINE = 4_000;
const OFFLINE = 900;
const RETRY = 250;
const IN_FLIGHT_MAX = 12;
// Most cuts come within what a connection gets in its time; some in its handshake.
const CUT_BYTES = [300, 40_000];
const ENDS = { cut: 4, goodbye: 3, takeover: 3 };
// How many connections begin with a room.
const SOCIABLE = 0.6;

export class Device {
  /** The line at which it first began to connect; undefined before. */
  began = undefined;
  connection = undefined;
  /** conversation → the highest `seq` that it confirmed */
  confirmed = new Map();
  /** `ready` of the first connection that was let in. */
  firstReady = undefined;
  /** `conversation seq` of what it has with a body: it came, or was acknowledged. */
  given = new Set();
  /** `conversation seq` of what it was told to be taken back. */
  recalled = new Set();
  /** The spear that could not be reached, or broke off, the last time. */
  #shunned = undefined;
  /** `conversation user` → how far that user has read, as it was told */
  receipts = new Map();

  constructor(world, user, name) {
    Object.assign(this, { world, user, name });
    this.random = world.random.of(`device ${user.name}/${name}`);
    this.habit = this.random.pick(Object.keys(HABITS));
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
      this.#shunned = connection.ready ? undefined : connection.node;
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
    const avoid = random.chance(0.25) ? (this.connection?.node ?? 'spear-1') : this.#shunned;
    return {
      fate: fate === 'well' ? {} : { [fate]: bytes() },
      avoid: avoid && [avoid],
      transports: random.chance(0.2) ? ['polling', 'websocket'] : ['websocket'],
    };
  }

  async #stay(connection) {
    const until = performance.now() + this.random.around(ONLINE);
    if (this.random.chance(SOCIABLE)) void connection.live.enter(this.random);
    while (!connection.ended && !this.world.isOver && performance.now() < until) {
      if (connection.inFlight <= IN_FLIGHT_MAX) act(this, connection);
      await this.world.rest(this.random.around(BETWEEN_ACTS));
    }
    connection.resume();
  }

  async #leave(connection) {
    if (connection.ended) {
      if (!connection.wasCut) this.#shunned = connection.node;
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
}
