// A session over WebSocket, or one that is upgraded to it.

import { once } from 'node:events';

import { WebSocket } from 'ws';

import { within } from '../../support/wait.mjs';
import { endpoint } from './http.mjs';
import { noteSession } from './open.mjs';
import { ANSWER_MS, Queue } from './queue.mjs';

export class WebSocketSession {
  /** Resolves with the close code once the WebSocket is closed. */
  over;
  /** Whether heartbeats of protocol 4 are answered, and kept from `next`. */
  answers = true;
  #packets = new Queue();

  /** Opens a WebSocket, and takes the handshake if it begins a session. Rejects with the status if it is refused. */
  static async open(echo, { eio = 4, sid, query = {}, ...options } = {}) {
    const session = new WebSocketSession(echo, { eio, sid, query, options });
    await within(session.#opened, ANSWER_MS, 'the WebSocket opens');
    if (!sid) {
      session.handshake = JSON.parse((await session.next()).slice(1));
      session.sid = session.handshake.sid;
    }
    return noteSession(session);
  }

  #opened;

  constructor(echo, { eio, sid, query, options }) {
    Object.assign(this, { echo, eio, sid });
    const url = endpoint(echo, { EIO: eio, transport: 'websocket', sid, ...query }).replace(/^http/, 'ws');
    this.socket = new WebSocket(url, options);
    this.#opened = new Promise((resolve, reject) => {
      this.socket.once('open', resolve);
      this.socket.on('error', reject);
      this.socket.once('unexpected-response', (outgoing, incoming) => {
        outgoing.destroy();
        reject(new Error(`the WebSocket is refused: ${incoming.statusCode}`));
      });
    });
    this.#opened.catch(() => {});
    this.over = new Promise((resolve) => this.socket.once('close', resolve));
    this.over.then((code) => this.#packets.end(`closed with ${code}`));
    this.socket.on('message', (data, isBinary) => this.#take(isBinary ? data : data.toString()));
  }

  async send(packet) {
    this.socket.send(packet);
  }

  /** Waits until the server has taken what was sent: it answers a ping of WebSocket after it. */
  async settle() {
    const pong = once(this.socket, 'pong');
    this.socket.ping();
    await within(pong, ANSWER_MS, 'a pong comes');
  }

  next(budgetMs) {
    return this.#packets.next(budgetMs);
  }

  get waiting() {
    return this.#packets.length;
  }

  async close() {
    if (this.socket.readyState === WebSocket.CLOSED) return;
    this.socket.terminate();
    await this.over;
  }

  #take(packet) {
    if (packet === '2' && this.answers && this.eio === 4) this.socket.send('3');
    else this.#packets.push(packet);
  }
}

/** Answers with which status a WebSocket is refused; rejects if it opens. */
export async function refusedWith(echo, query) {
  const socket = new WebSocket(endpoint(echo, query).replace(/^http/, 'ws'));
  socket.on('error', () => {});
  const [answer] = await within(
    Promise.race([
      once(socket, 'unexpected-response').then(([, incoming]) => [incoming.statusCode]),
      once(socket, 'open').then(() => ['it opened']),
    ]),
    ANSWER_MS,
    'the WebSocket is refused',
  );
  socket.terminate();
  return answer;
}
