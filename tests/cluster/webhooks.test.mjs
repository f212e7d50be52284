// Given a cluster with a process for every node and a back end that is told what happens, when a node is killed, then everything is
// told all the same.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';

import { Client, directConversation, usersOnDifferentSpears } from '../support/client.mjs';
import { Receiver, awake } from '../support/receiver.mjs';
import { unique, withCluster } from '../support/suite.mjs';
import { until } from '../support/wait.mjs';

// The profile's session time-out is 3 s: so long a dead node holds its shares.
const MOVED_MS = 3_000 + 20_000;
const CONVERSATIONS = 24;
// Between two messages of a conversation: some 400 a second in all, which the back end of the test can take.
const BETWEEN_MS = 60;

// A suite, because its hooks run one after the other.
describe('webhooks', () => {
  let receiver;
  const options = { env: {} };
  before(async () => {
    receiver = await Receiver.start();
    Object.assign(options.env, receiver.env, {
      PHALANX__STAT__WEBHOOKS__BATCH_EVENTS: '5',
      // One user makes the whole load.
      PHALANX__SPEAR__EVENTS__CONNECTION_PER_SECOND: '0',
      PHALANX__SPEAR__EVENTS__USER_PER_SECOND: '0',
    });
  });
  const suite = withCluster(options);
  before(() => awake(suite.cluster, receiver));
  after(async () => {
    await receiver.stop();
    assert.deepEqual(receiver.problems, []);
  });

  const from1 = (count) => Array.from({ length: count }, (_, index) => index + 1);

  /** How many shares a stat node holds, by its metrics. */
  async function shares(id) {
    const metrics = await (await fetch(`${suite.cluster.nodes.get(id).admin}/metrics`)).text();
    return Number(/^phalanx_webhooks_shares\S* (\d+)/m.exec(metrics)?.[1] ?? 0);
  }

  async function balanced() {
    await until(
      async () => {
        const [one, other] = await Promise.all([shares('stat-1'), shares('stat-2')]);
        return one > 0 && other > 0 && one + other === 16;
      },
      MOVED_MS,
      'each of two stat nodes holds shares',
    );
  }

  /** What happens to a stat node while much is told, and how it is put right. */
  const FAULTS = {
    'stat-1 killed': { id: 'stat-1', strike: (id) => suite.cluster.killNode(id), heal: (id) => suite.cluster.launchNode(id) },
    'stat-2 killed': { id: 'stat-2', strike: (id) => suite.cluster.killNode(id), heal: (id) => suite.cluster.launchNode(id) },
    'stat-1 frozen until others do its work': {
      id: 'stat-1',
      strike: (id) => suite.cluster.nodes.get(id).process.signal('SIGSTOP'),
      heal: (id) => suite.cluster.nodes.get(id).process.signal('SIGCONT'),
    },
  };

  for (const [name, { id, strike, heal }] of Object.entries(FAULTS)) {
    test(`${name}: nothing is lost, order stays`, async () => {
      await balanced();
      const alice = await Client.connect(suite.cluster, unique('a'));
      const others = from1(CONVERSATIONS).map(() => unique('b'));
      const survivor = id === 'stat-1' ? 'stat-2' : 'stat-1';
      receiver.delayMs = 20;
      const sent = new Map(others.map((other) => [other, 0]));
      let stopped = false;
      const sending = others.map(async (other) => {
        while (!stopped) {
          sent.set(other, (await alice.sendTo(other, sent.get(other) + 1)).seq);
          await setTimeout(BETWEEN_MS);
        }
      });
      const before = receiver.events.length;
      await until(() => receiver.events.length > before + 300, MOVED_MS, 'it is being told');
      const repeated = receiver.repeated;
      await strike(id);
      await until(async () => (await shares(survivor)) === 16, MOVED_MS, 'the other node holds every share');
      stopped = true;
      await Promise.all(sending);
      await heal(id);
      receiver.delayMs = 0;
      const total = [...sent.values()].reduce((sum, count) => sum + count, 0);
      const here = () => others.map((other) => receiver.seqs(directConversation(alice.user, other)));
      await until(() => here().flat().length >= total, 3 * MOVED_MS, () => `${here().flat().length} of ${total} are told`);
      for (const [index, other] of others.entries()) assert.deepEqual(here()[index], from1(sent.get(other)));
      await balanced();
      console.log(`${name}: ${total} messages told, ${receiver.repeated - repeated} of them again`);
    });
  }

  test('a spear that is frozen and wakes: its users are told to be offline, and online again without having come back', async () => {
    const bob = await Client.connect(suite.cluster, unique('u'));
    const is = (state) => until(() => receiver.presence(bob.user) === state, MOVED_MS, `bob is told to be ${state}`);
    await is('online');
    const { process } = suite.cluster.nodes.get(bob.node);
    process.signal('SIGSTOP');
    await is('offline');
    process.signal('SIGCONT');
    await is('online');
    assert.equal(bob.disconnected, undefined);
    bob.close();
    await is('offline');
  });

  test('a killed spear: its users are told to be offline, and online where they come back', async () => {
    const users = Object.values(await usersOnDifferentSpears(suite.cluster, unique('u')));
    const [alice, bob] = await Promise.all(users.map((user) => Client.connect(suite.cluster, user)));
    const is = (user, state) => until(() => receiver.presence(user) === state, MOVED_MS, `${user} is told to be ${state}`);
    await Promise.all(users.map((user) => is(user, 'online')));
    await suite.cluster.killNode(bob.node);
    await is(bob.user, 'offline');
    assert.equal(receiver.presence(alice.user), 'online');
    const back = await until(() => Client.connect(suite.cluster, bob.user).catch(() => undefined), MOVED_MS, 'bob is back');
    await is(bob.user, 'online');
    await suite.cluster.launchNode(bob.node);
    back.close();
    await is(bob.user, 'offline');
  });
});
