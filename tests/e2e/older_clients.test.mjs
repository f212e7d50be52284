// The official clients of earlier major versions: v3 speaks protocol 5 as v4 does, v2 speaks protocol 4.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import io2 from 'socket.io-client-v2';
import v3 from 'socket.io-client-v3';

import { Client, directConversation, ticketFor } from '../support/client.mjs';
import { unique, withCluster } from '../support/suite.mjs';
import { until, within } from '../support/wait.mjs';

const suite = withCluster();
const BUDGET_MS = 10_000;

const CLIENTS = {
  v2: (url, ticket, options) => io2(url, { query: ticket ? { ticket } : {}, reconnection: false, forceNew: true, ...options }),
  v3: (url, ticket, options) => v3.io(url, { auth: { ticket }, reconnection: false, forceNew: true, ...options }),
};
const REFUSED = {
  v2: (socket) => new Promise((resolve) => socket.once('error', (error) => resolve(typeof error === 'string' ? JSON.parse(error) : error))),
  v3: (socket) => new Promise((resolve) => socket.once('connect_error', (error) => resolve(error.data))),
};

for (const version of Object.keys(CLIENTS)) {
  for (const transports of [['websocket'], ['polling'], ['polling', 'websocket']]) {
    test(`${version} over ${transports.join(', then ')} talks to v4`, async (t) => {
      const user = unique(version);
      const { spear, ticket } = await ticketFor(suite.cluster, user);
      const socket = CLIENTS[version](spear.url, ticket, { transports });
      t.after(() => socket.disconnect());
      const messages = [];
      socket.on('message', (message) => messages.push(message));
      const ready = await within(new Promise((resolve) => socket.once('ready', resolve)), BUDGET_MS, 'ready');
      assert.equal(ready.user, user);

      const friend = await Client.connect(suite.cluster, unique('v4'));
      const conversation = directConversation(user, friend.user);
      const answer = await within(
        new Promise((resolve) => socket.emit('send', { to: { user: friend.user }, body: 'from an older one' }, resolve)),
        BUDGET_MS,
        'the acknowledgement',
      );
      assert.deepEqual([answer.ok, answer.seq, answer.conversation], [true, 1, conversation]);
      assert.equal((await friend.receives(conversation, 1))[0].body, 'from an older one');
      await friend.sendTo(user, { text: 'ünd zurück ☕' });
      await until(() => messages.length === 1, BUDGET_MS, 'the answer comes');
      assert.deepEqual([messages[0].seq, messages[0].body], [2, { text: 'ünd zurück ☕' }]);
    });
  }

  test(`${version} is told why it is refused`, async (t) => {
    const { spear } = await ticketFor(suite.cluster, unique(version));
    const socket = CLIENTS[version](spear.url, 'nonsense', { transports: ['websocket'] });
    t.after(() => socket.disconnect());
    const { code } = await within(REFUSED[version](socket), BUDGET_MS, 'the refusal');
    assert.equal(code, 'ticket_invalid');
  });
}
