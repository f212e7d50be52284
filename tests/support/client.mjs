// A user's device: token → ticket → the client that the tests run with (clients/index.mjs), with everything it was told recorded.

import { setTimeout as pause } from 'node:timers/promises';

import { open } from './clients/index.mjs';
import { until, within } from './wait.mjs';

export { open };
export const ANSWER_MS = 10_000;
const HEARD_MS = 10_000;
const AGAIN_MS = 100;

/** `POST /v1/tickets`; answers `{status, body}`. */
export async function askTicket(cluster, token, body) {
  const response = await fetch(`${cluster.ticketUrl}/v1/tickets`, {
    method: 'POST',
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    body: body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body),
  });
  return { status: response.status, headers: response.headers, body: await response.json() };
}

/** A ticket for a user, or an error that says why there is none. */
export async function ticketFor(cluster, user, { device, avoid, scope } = {}) {
  const { status, body } = await askTicket(cluster, await cluster.token(user, { scope }), { device, avoid });
  if (status !== 200) throw new Error(`no ticket for ${user}: ${status} ${JSON.stringify(body)}`);
  return body;
}

/** The spear that a user belongs to. */
export async function homeOf(cluster, user) {
  return (await ticketFor(cluster, user)).spear.id;
}

/** For each spear one name that belongs to it: `{"spear-1": "a-3", "spear-2": "a-1"}`. */
export async function usersOnDifferentSpears(cluster, prefix, spears = 2) {
  const found = {};
  for (let number = 1; Object.keys(found).length < spears; number += 1) {
    if (number > 200) throw new Error(`200 names all belong to ${Object.keys(found)}`);
    const user = `${prefix}-${number}`;
    found[await homeOf(cluster, user)] ??= user;
  }
  return found;
}

/** Why a connection with this ticket is refused: the error's `data`. */
export async function refusalOf(url, ticket, options) {
  const socket = open(url, ticket, options);
  try {
    const error = await within(
      new Promise((resolve, reject) => {
        socket.once('connect_error', resolve);
        socket.once('ready', () => reject(new Error('the connection was let in')));
      }),
      ANSWER_MS,
      'the connection is refused',
    );
    if (!error.data) throw new Error(`refused without data: ${error.message}`);
    return error.data;
  } finally {
    socket.disconnect();
  }
}

const connected = new Set();

/** Closes every client that this process has connected. */
export function closeAll() {
  for (const client of connected) client.close();
  connected.clear();
}

/** One connection of one device. */
export class Client {
  /** Every event that came, in order: `{name, payload}`. */
  events = [];
  /** Every `message`, in order. */
  messages = [];
  disconnected = undefined;

  /**
   * Gets a ticket, connects, and waits for `ready`. A spear that has just started again is ready some milliseconds before ticket has
   * heard of it; like every client, this one asks for another ticket then.
   */
  static async connect(cluster, user, { device, avoid, scope, socket } = {}) {
    const deadline = performance.now() + HEARD_MS;
    for (;;) {
      const ticket = await ticketFor(cluster, user, { device, avoid, scope });
      try {
        const client = await Client.withTicket(ticket, user, socket);
        return Object.assign(client, { cluster, device: device ?? 'default' });
      } catch (error) {
        if (error.code !== 'wrong_node' || performance.now() > deadline) throw error;
        await pause(AGAIN_MS);
      }
    }
  }

  static async withTicket(ticket, user, options) {
    const client = new Client();
    connected.add(client);
    client.user = user;
    client.node = ticket.spear.id;
    client.socket = open(ticket.spear.url, ticket.ticket, options);
    client.socket.onAny((name, payload) => {
      client.events.push({ name, payload });
      if (name === 'message') client.messages.push(payload);
    });
    client.socket.on('disconnect', (reason) => (client.disconnected = reason));
    client.ready = await within(
      new Promise((resolve, reject) => {
        client.socket.once('ready', resolve);
        client.socket.once('connect_error', (error) => {
          const why = `${user} is refused: ${error.message} ${JSON.stringify(error.data)}`;
          reject(Object.assign(new Error(why), { code: error.data?.code }));
        });
        client.socket.once('disconnect', (reason) => reject(new Error(`${user} is gone before it is ready: ${reason}`)));
      }),
      ANSWER_MS,
      `${user} is ready`,
    );
    return client;
  }

  /** Emits, and answers the acknowledgement, whether ok or not. */
  ask(event, payload, budgetMs = ANSWER_MS) {
    return this.socket.ask(event, payload, budgetMs);
  }

  /** Emits, and answers what an `ok` acknowledgement holds; throws otherwise. */
  async must(event, payload) {
    const answer = await this.ask(event, payload);
    if (answer?.ok !== true) throw new Error(`${event} of ${this.user}: ${JSON.stringify(answer)}`);
    return answer;
  }

  sendTo(user, body, more = {}) {
    return this.must('send', { to: { user }, body, ...more });
  }

  sendToGroup(group, body, more = {}) {
    return this.must('send', { to: { group }, body, ...more });
  }

  /** Confirms everything of a conversation up to `seq`. */
  confirm(conversation, seq) {
    return this.must('ack', { conversation, seq });
  }

  /** The messages of one conversation, each `seq` once, in the order in which they first came. */
  in(conversation) {
    const seen = new Set();
    return this.messages.filter(
      (message) => message.conversation === conversation && !seen.has(message.seq) && seen.add(message.seq),
    );
  }

  /** Waits until this many different messages of a conversation have come; answers them. */
  async receives(conversation, count, budgetMs = ANSWER_MS) {
    await until(
      () => this.in(conversation).length >= count,
      budgetMs,
      () => `${this.user} has ${count} messages of ${conversation}, got ${this.in(conversation).length}`,
    );
    return this.in(conversation);
  }

  /** Waits for an event that fits; answers its payload. */
  async event(name, fits = () => true, budgetMs = ANSWER_MS) {
    const find = () => this.events.find((event) => event.name === name && fits(event.payload));
    return (await until(find, budgetMs, `${this.user} gets ${name}`)).payload;
  }

  /** Waits until the server or the network has ended the connection. */
  ended(budgetMs = ANSWER_MS) {
    return until(() => this.disconnected, budgetMs, `${this.user} is disconnected`);
  }

  /** Says goodbye. */
  close() {
    this.socket.disconnect();
  }

  /**
   * Says goodbye, and waits until the cluster has noted it. A device that comes back before that replaces this connection, and where the hint about
   * it is lost or late gets again what was confirmed in the last second.
   */
  async leave() {
    this.close();
    const devices = async () => (await this.cluster.stat('GET', `/v1/users/${encodeURIComponent(this.user)}/presence`)).body.devices;
    const isThere = ({ device, node }) => device === this.device && node === this.node;
    await until(async () => !(await devices()).some(isThere), ANSWER_MS, `${this.user} has left`);
  }

  /** Cuts its connections below socket.io, as a network that goes away does. */
  cut() {
    this.socket.cut();
  }
}

/** `u:<a>:<b>` of two users. */
export function directConversation(one, other) {
  const [a, b] = [one, other].sort().map((name) => name.replaceAll(':', '%3A'));
  return `u:${a}:${b}`;
}

/** All of a conversation, paged through `sync` from the beginning. */
export async function history(client, conversation, limit = 100) {
  const messages = [];
  for (;;) {
    const page = await client.must('sync', { conversation, after: messages.at(-1)?.seq ?? 0, limit });
    messages.push(...page.messages);
    if (!page.more) return { messages, lastSeq: page.last_seq };
    if (page.messages.length === 0) throw new Error('an empty page says that there is more');
  }
}
