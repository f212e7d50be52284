// A session over long-polling, either by single requests or with a loop that polls and answers heartbeats.

import { endpoint, request } from './http.mjs';
import { noteSession } from './open.mjs';
import { decodePayload, encodePayload } from './payload.mjs';
import { Queue } from './queue.mjs';

export class PollingSession {
  /** Resolves with the reason once the session is over for the loop: `close` for a close packet, or the status of a refused poll. */
  over;
  #packets = new Queue();
  #stop = new AbortController();
  #isOver;
  #polling = false;
  #posting = Promise.resolve();

  /** Shakes hands; nothing is polled before `get` or `poll`. */
  static async open(echo, { eio = 4, query = {} } = {}) {
    const session = new PollingSession(echo, eio, query);
    const { status, body } = await request(session.url);
    if (status !== 200) throw new Error(`no handshake: ${status} ${body}`);
    const [open, ...rest] = decodePayload(eio, body);
    session.handshake = JSON.parse(open.slice(1));
    session.sid = session.handshake.sid;
    for (const packet of rest) session.#packets.push(packet);
    return noteSession(session);
  }

  /** Shakes hands, and polls from then on. */
  static async start(echo, options) {
    const session = await PollingSession.open(echo, options);
    session.poll();
    return session;
  }

  constructor(echo, eio, query) {
    Object.assign(this, { echo, eio, query });
    this.over = new Promise((resolve) => (this.#isOver = resolve));
  }

  get url() {
    return endpoint(this.echo, { EIO: this.eio, transport: 'polling', sid: this.sid, ...this.query });
  }

  /** One poll: `{status, packets}`. */
  async get(options) {
    const { status, body } = await request(this.url, options);
    return { status, packets: status === 200 ? decodePayload(this.eio, body) : [], body };
  }

  /** One post of packets: `{status, body}`. */
  post(...packets) {
    return this.postBody(encodePayload(this.eio, packets), { 'content-type': 'text/plain;charset=UTF-8' });
  }

  postBody(body, headers = {}) {
    return request(this.url, { method: 'POST', headers, body });
  }

  /** Polls until the session is over or `pause`; heartbeats of protocol 4 are answered. */
  poll() {
    this.#polling = true;
    this.#done = this.#loop();
    return this;
  }

  /** Ends the loop after the poll that is under way; resolves once that is answered. */
  pause() {
    this.#polling = false;
    return this.#done;
  }

  /** The same, after those that are under way: two at once are refused. */
  #inTurn(packet) {
    const posted = this.#posting.then(() => this.post(packet));
    this.#posting = posted.catch(() => {});
    return posted;
  }

  async send(packet) {
    const { status, body } = await this.#inTurn(packet);
    if (status !== 200 || body !== 'ok') throw new Error(`a post was not taken: ${status} ${body}`);
  }

  /** Waits until the server has taken what was sent: a post is answered after that. */
  async settle() {}

  next(budgetMs) {
    return this.#packets.next(budgetMs);
  }

  /** What was polled and not yet asked for. */
  get waiting() {
    return this.#packets.length;
  }

  async close() {
    this.#polling = false;
    this.#stop.abort();
    await this.#done;
    this.#finish('closed by the test');
  }

  #done;

  async #loop() {
    while (this.#polling) {
      let answer;
      try {
        answer = await this.get({ signal: this.#stop.signal, budgetMs: 2 ** 31 - 1 });
      } catch (error) {
        this.#finish(error.message);
        return;
      }
      if (answer.status !== 200) {
        this.#finish(answer.status);
        return;
      }
      for (const packet of answer.packets) await this.#take(packet);
    }
  }

  async #take(packet) {
    if (packet === '1') this.#finish('close');
    else if (packet === '2' && this.eio === 4) await this.#inTurn('3');
    else if (packet !== '6') this.#packets.push(packet);
  }

  #finish(why) {
    this.#polling = false;
    this.#packets.end(why);
    this.#isOver(why);
  }
}
