// The back end that webhooks are posted to: checks every signature with the standard's own library, and records what it took.

import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';

import { Webhook } from 'standardwebhooks';

import { Client, directConversation, usersOnDifferentSpears } from './client.mjs';
import { until } from './wait.mjs';

const AWAKE_MS = 30_000;

export class Receiver {
  /** What was taken, in order: `{id, events}`. */
  requests = [];
  /** What was asked, taken or not: `{id, body}`. */
  attempts = [];
  /** Why a request was no proper one. */
  problems = [];
  secret = `whsec_${randomBytes(32).toString('base64')}`;
  /** What is answered: 204, or a status that is no success; `hang` answers nothing, `cut` closes the connection. */
  answer = 204;
  /** What is answered about a message that is not sent yet: `{allow, reason}` or a status; may be async. */
  judge = () => ({ allow: true });
  /** How long an answer takes, in milliseconds. */
  delayMs = 0;
  #server;

  static async start() {
    const receiver = new Receiver();
    receiver.#server = createServer((request, response) => receiver.#take(request, response));
    await new Promise((resolve) => receiver.#server.listen(0, '127.0.0.1', resolve));
    return receiver;
  }

  get url() {
    return `http://127.0.0.1:${this.#server.address().port}/hooks?from=phalanx`;
  }

  /** Settings of a cluster that posts here. */
  get env() {
    return {
      PHALANX__STAT__WEBHOOKS__URL: this.url,
      PHALANX__STAT__WEBHOOKS__SECRET: this.secret,
      PHALANX__STAT__WEBHOOKS__LINGER_MS: '50',
      PHALANX__STAT__WEBHOOKS__TIMEOUT_MS: '1000',
      PHALANX__STAT__WEBHOOKS__RETRY_MIN_MS: '50',
      PHALANX__STAT__WEBHOOKS__RETRY_MAX_MS: '500',
    };
  }

  /** Settings of a cluster that asks here before it stores anything. */
  get beforeSend() {
    return {
      PHALANX__WEBHOOKS__BEFORE_SEND__URL: this.url,
      PHALANX__WEBHOOKS__BEFORE_SEND__SECRET: this.secret,
      PHALANX__WEBHOOKS__BEFORE_SEND__TIMEOUT_MS: '6000',
    };
  }

  async stop() {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Every event that was taken, in order. */
  get events() {
    return this.requests.flatMap(({ events }) => events);
  }

  /** The same, each once: what a back end that dedupes by id makes of it. */
  get once() {
    return [...new Map(this.events.map((event) => [event.id, event])).values()];
  }

  /** How many events came again. */
  get repeated() {
    return this.events.length - this.once.length;
  }

  /** The `seq` of what was told of a conversation, in order, each once. */
  seqs(conversation) {
    return this.once.filter(({ message }) => message?.conversation === conversation).map(({ message }) => message.seq);
  }

  /** What was told last of a user: `online` or `offline`. */
  presence(user) {
    return this.events.findLast((event) => event.user === user)?.type;
  }

  async #take(request, response) {
    let body = '';
    for await (const chunk of request) body += chunk;
    let { answer } = this;
    let text;
    try {
      const verified = new Webhook(this.secret).verify(body, request.headers);
      if (verified.type === 'before_send') {
        const verdict = await this.judge(verified.message);
        answer = typeof verdict === 'number' ? verdict : 200;
        text = JSON.stringify(verdict);
      }
      const id = request.headers['webhook-id'];
      this.attempts.push({ id, body });
      if (verified.events && answer === 204) this.requests.push({ id, events: verified.events });
    } catch (error) {
      this.problems.push(`${request.method} ${request.url}: ${error.message}`);
    }
    if (this.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, this.delayMs));
    if (answer === 'hang') return;
    if (answer === 'cut') response.destroy();
    else response.writeHead(answer).end(text);
  }
}

/** Waits until every spear of a cluster that has just started writes down what happens: a second after stat has begun. */
export async function awake(cluster, receiver) {
  const users = Object.values(await usersOnDifferentSpears(cluster, 'early'));
  const clients = await Promise.all(users.map((user) => Client.connect(cluster, user)));
  await until(
    async () => {
      for (const client of clients) await client.sendTo(client.user, 'is anybody there?');
      return users.every((user) => receiver.seqs(directConversation(user, user)).length > 0);
    },
    AWAKE_MS,
    'messages are told',
  );
  for (const client of clients) client.close();
}
