// What the versions of the official client have in common.

import { Agent } from 'node:http';

import { within } from '../wait.mjs';

/** Every connection of one socket, which can all be cut, as by a network that goes away: nothing comes or goes after it. */
class CutAgent extends Agent {
  #open = new Set();
  #isCut = false;

  createConnection(options, created) {
    if (this.#isCut) {
      process.nextTick(created, new Error('the network is cut'));
      return undefined;
    }
    const connection = super.createConnection(options);
    this.#open.add(connection);
    connection.once('close', () => this.#open.delete(connection));
    return connection;
  }

  cut() {
    this.#isCut = true;
    for (const connection of this.#open) connection.destroy();
  }
}

export class OfficialSocket {
  /** The client's own socket. */
  raw;
  #agent;

  /** @param {(options: object) => object} dial opens the client's own socket with what every version takes */
  constructor(dial, { agent = new CutAgent(), ...options }) {
    this.#agent = agent;
    this.raw = dial({ reconnection: false, forceNew: true, agent, ...options });
  }

  /** What carries it now: `polling` or `websocket`. */
  get transport() {
    return this.raw.io.engine.transport.name;
  }

  on(name, listener) {
    this.raw.on(name, listener);
  }

  once(name, listener) {
    this.raw.once(name, listener);
  }

  onAny(listener) {
    this.raw.onAny(listener);
  }

  /** `answer` gets the acknowledgement, where there is one. */
  emit(event, payload, answer) {
    if (answer) this.raw.emit(event, payload, answer);
    else this.raw.emit(event, payload);
  }

  /** Emits, and answers the acknowledgement; rejects after `budgetMs`. */
  ask(event, payload, budgetMs) {
    return within(new Promise((resolve) => this.emit(event, payload, resolve)), budgetMs, `${event} is acknowledged`);
  }

  /** Says goodbye. */
  disconnect() {
    this.raw.disconnect();
  }

  /** Cuts the connections below socket.io, as a network that goes away does; not with an agent of the caller's. */
  cut() {
    this.#agent.cut();
  }
}
