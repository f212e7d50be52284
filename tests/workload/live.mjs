// What a connection says and hears that nobody stores: rooms, in which it is until it ends, and signals.

const ROOMS = ['lobby', 'hall', 'room:3'];
const SOMEWHERE = 0.1;

export class Live {
  /** The rooms in which it is, as far as it knows. */
  #rooms = new Set();
  #said = 0;

  constructor(connection) {
    Object.assign(this, { connection, world: connection.world });
  }

  async enter(random) {
    const room = random.pick(ROOMS);
    const answer = await this.connection.perform('enter', { room }, 'join', { room });
    if (answer?.ok) this.#rooms.add(room);
  }

  async exit(random) {
    const room = this.#oneOfMine(random);
    this.#rooms.delete(room);
    await this.connection.perform('exit', { room }, 'leave', { room });
  }

  async say(random) {
    const room = this.#oneOfMine(random);
    const mark = this.#mark();
    this.world.count('said in rooms');
    await this.connection.perform('say', { room, mark }, 'send', { to: { room }, body: { mark } });
  }

  async signal(random) {
    const { user } = this.connection.device;
    const kind = random.weighted({ destination: 4, room: 1 });
    const to = kind === 'room' ? { room: this.#oneOfMine(random) } : user.destination(random).to;
    const mark = this.#mark();
    this.world.count('signals');
    await this.connection.perform('signal', { to, mark }, 'signal', { to, type: 'typing', body: { mark } });
  }

  /** A `message` of a room. */
  hear({ conversation, id, from, body }) {
    this.world.count('heard in rooms');
    const room = conversation.slice('r:'.length);
    this.world.record({ is: 'hear', connection: this.connection.number, room, id, from, mark: body?.mark ?? 'none' });
  }

  /** A `signal`. */
  sign({ to, from, body }) {
    this.world.count('signals that came');
    this.world.record({ is: 'sign', connection: this.connection.number, to, from, mark: body?.mark ?? 'none' });
  }

  /** Mostly a room in which it is. */
  #oneOfMine(random) {
    const mine = [...this.#rooms];
    return mine.length === 0 || random.chance(SOMEWHERE) ? random.pick(ROOMS) : random.pick(mine);
  }

  #mark() {
    this.#said += 1;
    return `${this.connection.number}-${this.#said}`;
  }
}
