// One connection of a device, through a wire that may fail, with all it sends and gets recorded.

import { digest } from '../checker/history.mjs';
import { open, ticketFor } from '../support/client.mjs';
import { until, within } from '../support/wait.mjs';
import { Wire } from '../support/wire.mjs';
import { Live } from './live.mjs';

const READY_MS = 10_000;
const ANSWER_MS = 8_000;
// More than an answer may take, also where this process has to wait for its turn.
const SETTLED_MS = 25_000;
const GOODBYE_MS = 1_000;

export class Connection {
  /** The line of its `connect`. */
  began = undefined;
  /** `{line, at}` of its `ready`, `at` by this machine's clock; undefined where it was not let in. */
  ready = undefined;
  ended = false;
  /** conversation → the last `seq` that came */
  last = new Map();
  /** The cids that were sent on it. */
  cids = new Set();
  inFlight = 0;
  #wire;
  #socket;

  /**
   * Connects a device; `ready` says whether it worked.
   *
   * @param {{fate?: {down?: number, up?: number}, avoid?: string[], transports?: string[]}} options
   */
  static async of(world, device, { fate, avoid, transports = ['websocket'] } = {}) {
    const connection = new Connection();
    Object.assign(connection, { world, device, number: world.connections });
    connection.live = new Live(connection);
    world.connections += 1;
    world.record({ is: 'connect', connection: connection.number, user: device.user.name, device: device.name });
    connection.began = world.recorder.lines;
    try {
      const asked = ticketFor(world.cluster, device.user.name, { device: device.name, avoid });
      const ticket = await within(asked, ANSWER_MS, 'a ticket');
      connection.node = ticket.spear.id;
      connection.#wire = await Wire.to(ticket.spear.url, fate);
      await connection.#open(ticket.ticket, transports);
    } catch (error) {
      connection.close(`not ready: ${error.message}`);
    }
    return connection;
  }

  get wasCut() {
    return this.#wire?.wasCut ?? false;
  }

  /** Sends; answers the acknowledgement, or undefined where none came. */
  async send({ to, conversation, cid, body }) {
    const call = this.world.recorder.call();
    const { user, name } = this.device;
    this.cids.add(cid);
    this.inFlight += 1;
    this.world.record({
      is: 'send', call, connection: this.number, user: user.name, device: name, conversation, cid, body: digest(body),
    });
    const answer = await this.ask('send', { to, cid, body });
    this.inFlight -= 1;
    if (answer?.ok) {
      const { seq, id, sent_at, duplicate } = answer;
      this.device.given.add(`${conversation} ${seq}`);
      this.world.record({ is: 'sent', call, ok: true, seq, id, sent_at, duplicate });
    } else {
      this.world.record({ is: 'sent', call, ok: answer ? false : null, code: answer?.error.code });
    }
    return answer;
  }

  /** Confirms `[{conversation, seq}]`. */
  async ack(confirmed) {
    for (const each of confirmed) this.world.record({ is: 'ack', connection: this.number, ...each });
    const answer = await this.ask('ack', confirmed.length === 1 ? confirmed[0] : confirmed);
    if (!answer?.ok) return;
    for (const each of confirmed) this.world.record({ is: 'acked', connection: this.number, ...each });
  }

  /** Takes a message back: `{conversation, seq}`, and `began`, the line at which it was first sent, where this user has sent it. */
  async recall({ conversation, seq, began }) {
    const answer = await this.perform('recall', { conversation, seq }, 'recall', { conversation, seq });
    if (!answer?.ok) return;
    this.world.count('recalls');
    this.world.recalls.push({ conversation, seq, began });
  }

  /** Says that its user has read everything up to `seq`. */
  async read(conversation, seq) {
    const began = this.world.recorder.lines + 1;
    const answer = await this.perform('read', { conversation, seq }, 'read', { conversation, seq });
    if (!answer?.ok) return;
    this.world.count('read marks');
    this.world.reads.push({ conversation, seq, began, user: this.device.user });
  }

  /** Asks, with the call and its answer recorded; `is` and `fields` are for the history. Answers the acknowledgement. */
  async perform(is, fields, event, payload) {
    const call = this.world.recorder.call();
    this.world.record({ is, call, connection: this.number, ...fields });
    const answer = await this.ask(event, payload);
    const code = answer?.error?.code;
    if (code) this.world.count(`${is}: ${code}`);
    this.world.record({ is: 'answer', call, ok: answer?.ok ?? null, code, id: answer?.id });
    return answer;
  }

  /** Emits; answers the acknowledgement, or undefined where none came. */
  async ask(event, payload) {
    try {
      return await this.#socket.ask(event, payload, ANSWER_MS);
    } catch {
      return undefined;
    }
  }

  /** Stops reading for a while. */
  pause() {
    this.#wire.pause();
  }

  resume() {
    this.#wire.resume();
  }

  /** Cuts the network. */
  cut() {
    this.#wire.cut();
  }

  /** Says goodbye. */
  close(why = 'goodbye') {
    this.#socket?.disconnect();
    this.#end(why);
  }

  async #open(ticket, transports) {
    this.#socket = open(this.#wire.url, ticket, { transports });
    this.#socket.on('message', (message) => this.#receive(message));
    this.#socket.on('gap', ({ conversation, from_seq, to_seq }) => {
      if (this.ended) return;
      this.world.count('gaps');
      this.world.record({ is: 'gap', connection: this.number, conversation, from_seq, to_seq });
    });
    this.#socket.on('recalled', (payload) => this.#recalled(payload));
    this.#socket.on('receipt', (payload) => this.#receipt(payload));
    this.#socket.on('signal', (payload) => this.ended || this.live.sign(payload));
    this.#socket.on('kicked', ({ reason }) => this.world.count(`kicked: ${reason}`));
    this.#socket.on('disconnect', (why) => this.#end(why));
    await within(
      new Promise((resolve, reject) => {
        this.#socket.once('ready', ({ node }) => {
          this.world.record({ is: 'ready', connection: this.number, node });
          this.ready = { line: this.world.recorder.lines, at: Date.now() };
          resolve();
        });
        this.#socket.once('connect_error', (error) => reject(new Error(error.data?.code ?? error.message)));
        this.#socket.once('disconnect', (why) => reject(new Error(why)));
      }),
      READY_MS,
      'ready',
    );
  }

  #receive(message) {
    if (this.ended) return;
    if (message.to.room !== undefined) return void this.live.hear(message);
    const { conversation, seq, id, from, cid, body, recalled_at } = message;
    this.world.count(recalled_at === undefined ? 'deliveries' : 'tombstones');
    this.last.set(conversation, seq);
    if (recalled_at === undefined) this.device.given.add(`${conversation} ${seq}`);
    const what = { conversation, seq, id, from, cid, body: digest(body), recalled_at };
    this.world.record({ is: 'receive', connection: this.number, ...what });
  }

  #recalled({ conversation, seq, id }) {
    if (this.ended) return;
    this.world.count('recalled');
    this.device.recalled.add(`${conversation} ${seq}`);
    this.world.record({ is: 'recalled', connection: this.number, conversation, seq, id });
  }

  #receipt({ conversation, user, read_seq }) {
    if (this.ended) return;
    this.world.count('receipts');
    const { receipts } = this.device;
    const key = `${conversation} ${user}`;
    receipts.set(key, Math.max(read_seq, receipts.get(key) ?? 0));
    this.world.record({ is: 'receipt', connection: this.number, conversation, user, read_seq });
  }

  #end(why) {
    if (this.ended) return;
    this.ended = true;
    if (this.wasCut) this.world.count('cuts');
    this.world.record({ is: 'disconnect', connection: this.number, why });
    // A goodbye that is under way is let through.
    setTimeout(() => this.#wire?.close(), GOODBYE_MS).unref();
  }

  /** Waits until nothing that was sent is without an answer. */
  settled() {
    return until(() => this.inFlight === 0, SETTLED_MS, 'every send is answered or given up');
  }
}
