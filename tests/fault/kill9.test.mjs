// Given users who write to one another and to a group across both spears, when the process is killed with SIGKILL again and
// again in the middle of it, then no acknowledged message is lost, no seq is given out twice, and everybody gets everything.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Client, directConversation, usersOnDifferentSpears } from '../support/client.mjs';
import { Ledger, assertInOrder } from '../support/ledger.mjs';
import { unique, withCluster } from '../support/suite.mjs';
import { until } from '../support/wait.mjs';

const ROUNDS = 4;
const ACKNOWLEDGED_A_ROUND = 400;
const IN_FLIGHT = 4;
const PAIRS = 5;

const suite = withCluster();

/** Writes with a few sends in flight until the connection dies; what was not answered is sent again, with the same cid. */
class Writer {
  #unanswered = new Map();
  #count = 0;

  constructor(user, destinations, ledger) {
    Object.assign(this, { user, destinations, ledger });
  }

  /** Sends again what an earlier connection left unanswered. */
  async resend(client) {
    for (const send of [...this.#unanswered.values()]) await this.#send(client, send);
  }

  /** Resolves when the connection is gone. */
  async write(client) {
    await Promise.all(
      Array.from({ length: IN_FLIGHT }, async () => {
        while (!client.disconnected) {
          this.#count += 1;
          const to = this.destinations[this.#count % this.destinations.length];
          const send = { to, cid: `${this.user}-${this.#count}`, body: { from: this.user, number: this.#count } };
          try {
            await this.#send(client, send);
          } catch (error) {
            if (!client.disconnected) throw error;
          }
        }
      }),
    );
  }

  async #send(client, send) {
    this.#unanswered.set(send.cid, send);
    const answer = await client.ask('send', send);
    assert.equal(answer.ok, true, JSON.stringify(answer));
    this.ledger.note(answer, send.cid, send.body);
    this.#unanswered.delete(send.cid);
  }
}

/** One device over all its connections: confirms some of what it gets, and remembers everything. */
class Listener {
  received = new Map();

  constructor(user) {
    this.user = user;
  }

  async connect() {
    this.client = await Client.connect(suite.cluster, this.user, { device: 'listener' });
    this.client.socket.on('message', (message) => {
      const key = `${message.conversation} ${message.seq}`;
      const known = this.received.get(key);
      if (known) assert.equal(known.id, message.id, `${key} came with two ids`);
      this.received.set(key, message);
      if (message.seq % 7 === 0) {
        this.client.socket.emit('ack', { conversation: message.conversation, seq: message.seq });
      }
    });
    // What came with the connection, before there was a listener.
    for (const message of this.client.messages) this.received.set(`${message.conversation} ${message.seq}`, message);
  }
}

test('kill -9 under load, and start again', { timeout: 240_000 }, async () => {
  const { cluster } = suite;
  const pairs = [];
  for (let pair = 0; pair < PAIRS; pair += 1) {
    pairs.push(Object.values(await usersOnDifferentSpears(cluster, unique('u'))));
  }
  const users = pairs.flat();
  const group = unique('g');
  assert.equal((await cluster.stat('PUT', `/v1/groups/${group}`, {})).status, 201);
  assert.equal((await cluster.stat('PUT', `/v1/groups/${group}/members`, { users })).status, 200);

  const ledger = new Ledger();
  const writers = pairs.flatMap(([a, b]) => [
    new Writer(a, [{ user: b }, { user: b }, { group }], ledger),
    new Writer(b, [{ user: a }, { group }], ledger),
  ]);
  const listeners = users.map((user) => new Listener(user));

  for (let round = 1; round <= ROUNDS; round += 1) {
    await Promise.all(listeners.map((listener) => listener.connect()));
    const clients = await Promise.all(writers.map((writer) => Client.connect(cluster, writer.user)));
    await Promise.all(writers.map((writer, index) => writer.resend(clients[index])));
    const before = ledger.size;
    const writing = Promise.all(writers.map((writer, index) => writer.write(clients[index])));
    await until(
      () => ledger.size >= before + ACKNOWLEDGED_A_ROUND,
      60_000,
      () => `${ACKNOWLEDGED_A_ROUND} acknowledged sends in round ${round}, got ${ledger.size - before}`,
    );
    await cluster.kill9();
    await writing;
    for (const { client } of listeners) assertInOrder(client);
    await cluster.launch();
  }

  await Promise.all(listeners.map((listener) => listener.connect()));
  const clients = await Promise.all(writers.map((writer) => Client.connect(cluster, writer.user)));
  await Promise.all(writers.map((writer, index) => writer.resend(clients[index])));
  const of = (user) => clients[writers.findIndex((writer) => writer.user === user)];

  const expected = new Map(users.map((user) => [user, new Map()]));
  const note = (user, messages) => {
    for (const message of messages) expected.get(user).set(`${message.conversation} ${message.seq}`, message.id);
  };
  for (const [a, b] of pairs) {
    const messages = await ledger.check(of(a), directConversation(a, b));
    note(a, messages);
    note(b, messages);
  }
  const inGroup = await ledger.check(of(users[0]), `g:${group}`);
  users.forEach((user) => note(user, inGroup));

  for (const listener of listeners) {
    const wanted = expected.get(listener.user);
    const missing = () => [...wanted.keys()].filter((key) => !listener.received.has(key));
    await until(
      () => missing().length === 0,
      30_000,
      () => `${listener.user} gets everything; missing: ${missing().slice(0, 5)} of ${missing().length}`,
    );
    assert.equal(listener.received.size, wanted.size, `${listener.user} gets nothing that is not stored`);
    for (const [key, message] of listener.received) assert.equal(message.id, wanted.get(key), key);
    assertInOrder(listener.client);
  }
});
