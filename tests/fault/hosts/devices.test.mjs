// Given a device on a spear that is cut off from everything but its clients, when the same device connects to another spear, then the
// older connection can neither send nor move the device's place in a conversation: not while it is cut off, and not once the cut is
// healed, when what its spear had sent to the store before arrives late.

import assert from 'node:assert/strict';

import { Client, directConversation, history } from '../../support/client.mjs';
import { testOnHosts } from '../../support/hosts/suite.mjs';
import { unique } from '../../support/suite.mjs';
import { until } from '../../support/wait.mjs';

const NODES = ['spear-1', 'spear-2', 'spear-3', 'ticket-1', 'ticket-2', 'stat-1', 'idgen-1', 'idgen-2'];

// The ticket node of the host that is cut off cannot tell who is banned: the other one is asked.
const via = (site, url) => new Proxy(site, { get: (target, key) => (key === 'ticketUrl' ? url : Reflect.get(target, key, target)) });

const spearOf = (site, host) => site.of('spear').find((node) => node.host === host).process;
const isRed = async (site) => !(await site.readiness('spear-1')).ready;

const FAULTS = [
  {
    what: 'cut off',
    begin: (site, host) => site.network.rules.drop('cut', [host.name], [...site.network.hosts.keys()].filter((name) => name !== host.name)),
    // By then it has given up the subscription in which it could still have heard of the newer connection.
    settled: (site) => until(() => isRed(site), 20_000, 'the spear that is cut off says so'),
    end: (site) => site.network.rules.heal('cut'),
    confirms: true,
  },
  {
    // What it is sent while it is frozen waits in its sockets: also that it has been replaced. A confirmation that it reads before that
    // counts as what the device had confirmed, and is true; so none is sent.
    what: 'frozen',
    begin: (site, host) => spearOf(site, host).freeze(),
    settled: () => undefined,
    end: (site, host) => spearOf(site, host).thaw(),
    confirms: false,
  },
];

for (const { what, begin, settled, end, confirms } of FAULTS) {
  testOnHosts(`the older connection of a device, its spear ${what}, does nothing any more`, { nodes: NODES }, async (site) => {
    const [bob, alice] = [unique('bob'), unique('alice')];
    const conversation = directConversation(alice, bob);
    const older = await Client.connect(site, bob, { device: 'phone', avoid: ['spear-2', 'spear-3'] });
    assert.equal(older.node, 'spear-1');
    const writer = await Client.connect(site, alice, { avoid: ['spear-1'] });
    for (const body of [1, 2, 3, 4]) await writer.sendTo(bob, body);
    await older.receives(conversation, 4);

    const { host } = site.nodes.get('spear-1');
    begin(site, host);
    // On its way to the store, or in a queue before it, when the cut is healed.
    const ask = (event, payload) => older.ask(event, payload, 30_000).catch(() => undefined);
    const late = [1, 2, 3].map((number) => ask('send', { to: { user: alice }, cid: `late-${number}`, body: number }));
    const newer = await Client.connect(via(site, site.nodes.get('ticket-2').url), bob, { device: 'phone', avoid: ['spear-1'] });
    assert.notEqual(newer.node, 'spear-1');
    await newer.receives(conversation, 4);
    await newer.sendTo(alice, 'newer');
    const confirming = confirms && ask('ack', { conversation, seq: 4 });

    await settled(site);
    end(site, host);
    const after = ask('send', { to: { user: alice }, cid: 'after', body: 'after' });
    for (const answer of await Promise.all([...late, after])) assert.notEqual(answer?.ok, true, JSON.stringify(answer));
    await confirming;
    await site.whole();

    const { messages } = await history(newer, conversation);
    assert.deepEqual(messages.map(({ body }) => body), [1, 2, 3, 4, 'newer'], 'nothing of the older connection is stored');
    older.close();
    newer.close();
    await site.nodes.get('spear-1').process.kill9();
    await site.launchNode('spear-1');
    const again = await Client.connect(site, bob, { device: 'phone' });
    await again.receives(conversation, 4);
    assert.deepEqual(again.in(conversation).map(({ seq }) => seq).slice(0, 4), [1, 2, 3, 4], 'the older connection has confirmed nothing');
  });
}
