// A TCP forwarder between a client and a node: a network that cuts in the middle of a frame, and a client that stops reading.

import { once } from 'node:events';
import { connect, createServer } from 'node:net';

export class Wire {
  /** Whether the connection was cut from here. */
  wasCut = false;
  #server;
  #target;
  #left;
  #paused = false;
  /** `[near, far]`: the client's side and the node's. */
  #pairs = new Set();

  /**
   * Opens a forwarder to `target`, a URL.
   *
   * @param {{down?: number, up?: number}} bytes after how many from the node (`down`) or from the client (`up`) everything is cut;
   *   what is before them arrives
   */
  static async to(target, { down = Infinity, up = Infinity } = {}) {
    const wire = new Wire();
    wire.#target = new URL(target);
    wire.#left = { down, up };
    wire.#server = createServer((near) => wire.#forward(near));
    wire.#server.listen(0, '127.0.0.1');
    await once(wire.#server, 'listening');
    wire.url = `http://127.0.0.1:${wire.#server.address().port}`;
    return wire;
  }

  /** Nothing is read from the node any more: what it sends stays with it, once the buffers between are full. */
  pause() {
    this.#paused = true;
    for (const [, far] of this.#pairs) far.pause();
  }

  resume() {
    this.#paused = false;
    for (const [, far] of this.#pairs) far.resume();
  }

  /** Ends every connection with a reset, as a network that goes away. */
  cut() {
    this.wasCut = true;
    this.close();
  }

  close() {
    this.#server.close();
    for (const pair of this.#pairs) for (const socket of pair) socket.resetAndDestroy();
    this.#pairs.clear();
  }

  #forward(near) {
    const far = connect({ host: this.#target.hostname, port: Number(this.#target.port), noDelay: true });
    near.setNoDelay(true);
    const pair = [near, far];
    this.#pairs.add(pair);
    if (this.#paused) far.pause();
    for (const [from, to, way] of [[far, near, 'down'], [near, far, 'up']]) {
      from.on('data', (bytes) => this.#pass(bytes, from, to, way));
      to.on('drain', () => {
        if (from === near || !this.#paused) from.resume();
      });
      from.on('end', () => to.end());
      from.on('error', () => to.destroy());
      from.on('close', () => {
        to.destroy();
        this.#pairs.delete(pair);
      });
    }
  }

  #pass(bytes, from, to, way) {
    const left = this.#left[way];
    this.#left[way] -= bytes.length;
    if (left <= 0) return;
    if (bytes.length < left) {
      if (!to.write(bytes)) from.pause();
      return;
    }
    // The other side has the first half of something.
    to.write(bytes.subarray(0, left), () => this.cut());
  }
}
