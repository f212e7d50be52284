// A cluster that is not there: tickets and connections that do what a test says.

import { PhalanxClient, PhalanxError } from '../support/helper.mjs';

export { PhalanxError };

/** Lets everything run that is due without time passing. */
export async function settle() {
  for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
}

/** One connection: what was asked of it stands in `asked`, and waits until the test answers. */
class FakeLink {
  ended = undefined;
  asked = [];

  constructor(cluster, offer, listener, ready) {
    Object.assign(this, { cluster, node: offer.node, ticket: offer.ticket, listener, ready });
  }

  ask(event, payload) {
    return new Promise((resolve, reject) => this.asked.push({ event, payload, resolve, reject }));
  }

  close() {
    this.end('closed by this client', true);
  }

  /** It goes, as a network does: nothing is answered any more. */
  end(reason = 'transport close', byUs = false) {
    if (this.ended !== undefined) return;
    this.ended = reason;
    for (const each of this.asked) each.reject(new Error(reason));
    if (!byUs) this.listener.closed(reason, this);
  }

  /** The spear says something. */
  say(name, payload) {
    if (this.ended === undefined) this.listener.event(name, payload, this);
  }

  message(seq, more = {}) {
    this.say('message', { conversation: 'u:alice:bob', seq, id: `${seq}`, from: 'bob', to: { user: 'alice' }, type: 'text', body: seq, sent_at: 1, ...more });
  }

  /** Answers the oldest question that has no answer and fits. */
  answer(event, fields) {
    const index = this.asked.findIndex((each) => each.event === event);
    if (index < 0) throw new Error(`${event} was not asked, but ${this.asked.map((each) => each.event)}`);
    const [{ payload, resolve }] = this.asked.splice(index, 1);
    resolve(fields);
    return payload;
  }

  ok(event, fields = {}) {
    return this.answer(event, { ok: true, ...fields });
  }

  refuse(event, code, more = {}) {
    return this.answer(event, { ok: false, error: { code, message: code, ...more } });
  }

  /** What was asked and has no answer. */
  questions(event) {
    return this.asked.filter((each) => each.event === event).map((each) => each.payload);
  }
}

export class FakeCluster {
  /** Every request for a ticket. */
  requests = [];
  /** Every connection that became ready. */
  links = [];
  /** Spears that cannot be reached: id → the code. */
  down = new Map();
  /** What the next requests for a ticket are refused with. */
  refusals = [];
  nodes = ['spear-1', 'spear-2'];
  /** While set, spears let nobody in yet. */
  held = undefined;

  client(options = {}) {
    const client = new PhalanxClient({
      ticketUrl: 'http://ticket',
      token: () => 'token',
      tickets: (request) => this.#tickets(request),
      dial: (offer, listener, signal) => this.#dial(offer, listener, signal),
      ...options,
    });
    client.got = [];
    client.on('message', (message) => void client.got.push(message.seq));
    return client;
  }

  get link() {
    return this.links.at(-1);
  }

  async #tickets(request) {
    this.requests.push(request);
    const refusal = this.refusals.shift();
    if (refusal) throw refusal;
    const nodes = this.nodes.filter((node) => !request.avoid.includes(node));
    if (nodes.length === 0) throw new PhalanxError('no_spear', 'no spear', { status: 503 });
    return nodes.map((node) => ({ node, url: `http://${node}`, ticket: `${node} ${this.requests.length}` }));
  }

  async #dial(offer, listener, signal) {
    await this.held;
    if (signal.aborted) throw new PhalanxError('stopped', 'nobody waits');
    const code = this.down.get(offer.node);
    if (code) throw new PhalanxError(code, `${offer.node}: ${code}`);
    const ready = { protocol: 1, user: 'alice', device: 'default', session: '1', node: offer.node, server_at: Date.now(), resumed: false };
    const link = new FakeLink(this, offer, listener, ready);
    this.links.push(link);
    return link;
  }
}
