// The official clients of three major versions do the same: v4 and v3 speak protocol 5, v2 speaks protocol 4. Over WebSocket, over
// long-polling, and from the one to the other.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { io as io4 } from 'socket.io-client';
import io2 from 'socket.io-client-v2';
import v3 from 'socket.io-client-v3';

import { Client, directConversation, ticketFor } from '../support/client.mjs';
import { unique, withCluster } from '../support/suite.mjs';
import { until, within } from '../support/wait.mjs';

const suite = withCluster();
const BUDGET_MS = 10_000;

const AS_AUTH = (io) => (url, ticket, options) => io(url, { auth: { ticket }, ...options });
const CLIENTS = {
  v2: (url, ticket, options) => io2(url, { query: ticket ? { ticket } : {}, ...options }),
  v3: AS_AUTH(v3.io),
  v4: AS_AUTH(io4),
};
// Protocol 4 has no refusal with data: its `error` carries the same as a text or an object.
const IN_ERROR = (socket) => new Promise((resolve) => socket.once('error', (error) => resolve(typeof error === 'string' ? JSON.parse(error) : error)));
const IN_DATA = (socket) => new Promise((resolve) => socket.once('connect_error', (error) => resolve(error.data)));
const REFUSED = { v2: IN_ERROR, v3: IN_DATA, v4: IN_DATA };

const TRANSPORTS = [['websocket'], ['polling'], ['polling', 'websocket']];

/** One connection of a device, over one version of the client, with what it was told. */
class Old {
  static opened = [];
  messages = [];
  kicked = [];
  ended = false;

  static async connect(version, user, transports, device) {
    const { spear, ticket } = await ticketFor(suite.cluster, user, { device });
    const old = new Old();
    Old.opened.push(old);
    old.user = user;
    old.socket = CLIENTS[version](spear.url, ticket, { transports, reconnection: false, forceNew: true });
    old.socket.on('message', (message) => old.messages.push(message));
    old.socket.on('kicked', (payload) => old.kicked.push(payload));
    old.socket.on('disconnect', () => (old.ended = true));
    old.ready = await within(new Promise((resolve) => old.socket.once('ready', resolve)), BUDGET_MS, 'ready');
    return old;
  }

  ask(event, payload) {
    return within(new Promise((resolve) => this.socket.emit(event, payload, resolve)), BUDGET_MS, `the answer to ${event}`);
  }

  receives(count) {
    return until(() => this.messages.length >= count, BUDGET_MS, () => `${count} messages, got ${this.messages.length}`);
  }

  /** What carries it now. */
  get transport() {
    return this.socket.io.engine.transport.name;
  }

  close() {
    this.socket.disconnect();
  }
}

after(() => Old.opened.forEach((old) => old.close()));

for (const version of Object.keys(CLIENTS)) {
  for (const transports of TRANSPORTS) {
    const road = `${version} over ${transports.join(', then ')}`;

    test(`${road}: a conversation, and what was missed`, async () => {
      const old = await Old.connect(version, unique(version), transports, 'phone');
      const friend = await Client.connect(suite.cluster, unique('friend'));
      const conversation = directConversation(old.user, friend.user);
      assert.deepEqual([old.ready.user, old.ready.device, old.ready.resumed], [old.user, 'phone', false]);
      await until(() => old.transport === transports.at(-1), BUDGET_MS, `it is carried by ${transports.at(-1)}`);

      const answer = await old.ask('send', { to: { user: friend.user }, cid: 'c-1', body: 'from an older one' });
      assert.deepEqual([answer.ok, answer.seq, answer.conversation, answer.duplicate], [true, 1, conversation, false]);
      const again = await old.ask('send', { to: { user: friend.user }, cid: 'c-1', body: 'from an older one' });
      assert.deepEqual([again.id, again.duplicate], [answer.id, true]);
      assert.equal((await friend.receives(conversation, 1))[0].body, 'from an older one');

      for (const body of [{ text: 'ünd zurück ☕' }, 3, 4]) await friend.sendTo(old.user, body);
      await old.receives(3);
      assert.deepEqual(old.messages.map(({ seq, body }) => [seq, body]), [[2, { text: 'ünd zurück ☕' }], [3, 3], [4, 4]]);
      assert.deepEqual(await old.ask('ack', { conversation, seq: 3 }), { ok: true });
      old.close();

      await friend.sendTo(old.user, 5);
      const back = await Old.connect(version, old.user, transports, 'phone');
      assert.equal(back.ready.resumed, true);
      await back.receives(2);
      assert.deepEqual(back.messages.map((message) => message.seq), [4, 5]);
      const page = await back.ask('sync', { conversation, after: 0, limit: 2 });
      assert.deepEqual([page.messages.map((message) => message.seq), page.more, page.last_seq], [[1, 2], true, 5]);
      const { conversations } = await back.ask('conversations', {});
      assert.deepEqual(conversations.map((entry) => [entry.conversation, entry.unread]), [[conversation, 4]]);
    });

    test(`${road}: refusals, binary, and the end`, async () => {
      const old = await Old.connect(version, unique(version), transports, 'phone');
      const codeOf = async (event, payload) => (await old.ask(event, payload)).error.code;
      assert.equal(await codeOf('sync', { conversation: 'u:x:y' }), 'forbidden');
      assert.equal(await codeOf('send', { to: { user: 'a b' }, body: 1 }), 'bad_request');
      assert.equal(await codeOf('no-such-event', {}), 'bad_request');
      assert.equal(await codeOf('send', { to: { user: 'bob' }, body: 'x'.repeat(70_000) }), 'too_large');
      assert.equal(await codeOf('send', { to: { user: 'bob' }, body: Buffer.from('abc') }), 'bad_request');
      assert.equal((await old.ask('send', { to: { user: unique('u') }, body: 'still here' })).seq, 1);

      const newer = await Old.connect(version, old.user, transports, 'phone');
      await until(() => old.kicked.length === 1 && old.ended, BUDGET_MS, 'the older connection is told, and closed');
      assert.deepEqual(old.kicked, [{ reason: 'replaced', reconnect: false }]);
      assert.equal(newer.ended, false);
    });

    test(`${road}: it is told why it is not let in`, async (t) => {
      const { spear } = await ticketFor(suite.cluster, unique(version));
      const options = { transports, reconnection: false, forceNew: true };
      for (const [ticket, code] of [['nonsense', 'ticket_invalid'], [undefined, 'ticket_missing']]) {
        const socket = CLIENTS[version](spear.url, ticket, options);
        t.after(() => socket.disconnect());
        assert.equal((await within(REFUSED[version](socket), BUDGET_MS, 'the refusal')).code, code);
      }
    });
  }
}
