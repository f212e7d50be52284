// Every version of the official client over every transport, on whichever the other tests run: v4 and v3 speak protocol 5, v2 speaks
// protocol 4. What they have in common with the other tests is theirs (support/clients/index.mjs).

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Client, directConversation, refusalOf, ticketFor } from '../support/client.mjs';
import { unique, withCluster } from '../support/suite.mjs';
import { until } from '../support/wait.mjs';

const suite = withCluster();
const BUDGET_MS = 10_000;

for (const client of ['v2', 'v3', 'v4']) {
  for (const transports of [['websocket'], ['polling'], ['polling', 'websocket']]) {
    const road = `${client} over ${transports.join(', then ')}`;
    const socket = { client, transports };

    test(`${road}: a conversation, and what was missed`, async () => {
      const old = await Client.connect(suite.cluster, unique(client), { socket });
      const friend = await Client.connect(suite.cluster, unique('friend'));
      const conversation = directConversation(old.user, friend.user);
      await until(() => old.socket.transport === transports.at(-1), BUDGET_MS, `it is carried by ${transports.at(-1)}`);
      await old.sendTo(friend.user, 'from an older one');
      assert.equal((await friend.receives(conversation, 1))[0].body, 'from an older one');
      for (const body of [{ text: 'ünd zurück ☕' }, 3, 4]) await friend.sendTo(old.user, body);
      await old.receives(conversation, 3);
      assert.deepEqual(old.messages.map(({ seq, body }) => [seq, body]), [[2, { text: 'ünd zurück ☕' }], [3, 3], [4, 4]]);
      await old.confirm(conversation, 3);
      old.close();

      await friend.sendTo(old.user, 5);
      const back = await Client.connect(suite.cluster, old.user, { socket });
      assert.equal(back.ready.resumed, true);
      await back.receives(conversation, 2);
      assert.deepEqual(back.messages.map((message) => message.seq), [4, 5]);

      const newer = await Client.connect(suite.cluster, old.user, { socket });
      assert.deepEqual(await back.event('kicked'), { reason: 'replaced', reconnect: false });
      await back.ended();
      assert.equal(newer.disconnected, undefined);
    });

    test(`${road}: it is told why it is not let in`, async () => {
      const { spear } = await ticketFor(suite.cluster, unique(client));
      for (const [ticket, code] of [['nonsense', 'ticket_invalid'], [undefined, 'ticket_missing']]) {
        assert.equal((await refusalOf(spear.url, ticket, socket)).code, code);
      }
    });
  }
}
