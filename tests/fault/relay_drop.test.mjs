// Given a relay between the spears that loses, repeats, delays and reorders hints, when users write to one another, then every
// stored message comes live, in order and without holes, also when it was the last hint that was lost.

import assert from 'node:assert/strict';
import { suite as describe, test } from 'node:test';

import { Client, directConversation, usersOnDifferentSpears } from '../support/client.mjs';
import { assertInOrder } from '../support/ledger.mjs';
import { unique, withCluster } from '../support/suite.mjs';
import { until } from '../support/wait.mjs';

// Sweeps are made frequent, so that the tests need not wait for them long. What they find is the same.
const SWEEPS = {
  PHALANX__SPEAR__DELIVERY__SWEEP_INTERVAL_MS: '500',
  PHALANX__SPEAR__DELIVERY__SUSPECT_SWEEP_INTERVAL_MS: '200',
};
const BUDGET_MS = 20_000;

const FAULTS = {
  'every third hint is lost': { DROP_EVERY: '3' },
  'every hint is lost': { DROP_EVERY: '1' },
  'every second hint comes twice': { REPEAT_EVERY: '2' },
  'every third hint comes late': { DELAY_EVERY: '3', DELAY_MS: '150' },
  'every second hint changes places with the next one': { REORDER_EVERY: '2' },
  'everything at once': { DROP_EVERY: '5', REPEAT_EVERY: '3', DELAY_EVERY: '4', DELAY_MS: '60', REORDER_EVERY: '2' },
};

const numbers = (count) => Array.from({ length: count }, (_, index) => index + 1);

for (const [what, faults] of Object.entries(FAULTS)) {
  describe(what, () => {
    const env = Object.fromEntries(
      Object.entries(faults).map(([key, value]) => [`PHALANX__RELAY__FAULTS__${key}`, value]),
    );
    const suite = withCluster({ env: { ...SWEEPS, ...env } });

    async function pair() {
      const users = Object.values(await usersOnDifferentSpears(suite.cluster, unique('u')));
      const [alice, bob] = await Promise.all(users.map((user) => Client.connect(suite.cluster, user)));
      return [alice, bob, directConversation(alice.user, bob.user)];
    }

    test('many messages at once come in order and without holes', async () => {
      const [alice, bob, conversation] = await pair();
      await Promise.all(numbers(200).map((body) => alice.sendTo(bob.user, body)));
      await bob.receives(conversation, 200, BUDGET_MS);
      assert.deepEqual(bob.messages.map((message) => message.body), numbers(200));
    });

    test('each of a few messages comes, with nothing after it to show the hole', async () => {
      const [alice, bob, conversation] = await pair();
      for (const number of numbers(7)) {
        await alice.sendTo(bob.user, number);
        await bob.receives(conversation, number, BUDGET_MS);
      }
      assert.deepEqual(bob.messages.map((message) => message.seq), numbers(7));
    });

    test('the very first message of a conversation comes', async () => {
      const pairs = await Promise.all(numbers(6).map(() => pair()));
      await Promise.all(pairs.map(([alice, bob]) => alice.sendTo(bob.user, 'first')));
      await Promise.all(pairs.map(([, bob, conversation]) => bob.receives(conversation, 1, BUDGET_MS)));
    });

    test('a group hears everything', async () => {
      const members = [...(await pair()).slice(0, 2), ...(await pair()).slice(0, 2)];
      const group = unique('g');
      await suite.cluster.stat('PUT', `/v1/groups/${group}`, {});
      const users = members.map((member) => member.user);
      await suite.cluster.stat('PUT', `/v1/groups/${group}/members`, { users });
      await Promise.all(members.flatMap((member) => numbers(25).map((body) => member.sendToGroup(group, body))));
      for (const member of members) {
        await member.receives(`g:${group}`, 75, BUDGET_MS);
        assertInOrder(member);
        assert.equal(member.messages.length, 75, 'each once, none of their own');
      }
    });

    test('nodes learn where the members of a room are; what comes of its messages comes once', async () => {
      const [alice, bob] = await pair();
      const room = unique('r');
      const counts = (member, count) =>
        until(async () => (await member.must('join', { room })).members === count, BUDGET_MS, `${count} members`);
      for (const member of [alice, bob]) await member.must('join', { room });
      for (const member of [alice, bob]) await counts(member, 2);
      await Promise.all(numbers(50).map((body) => alice.must('send', { to: { room }, body })));
      // Rooms are live only: what is lost is lost.
      const comes = async () => bob.messages.length > 0 || (await alice.must('send', { to: { room }, body: 'one more' }), false);
      if (faults.DROP_EVERY !== '1') await until(comes, BUDGET_MS, 'something comes');
      bob.close();
      await counts(alice, 1);
      const ids = bob.messages.map((message) => message.id);
      assert.equal(new Set(ids).size, ids.length, 'nothing comes twice');
    });
  });
}
