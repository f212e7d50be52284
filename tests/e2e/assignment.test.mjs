// Given a spear that holds more than its share, when further users ask for tickets, then they are led to the others.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Client, homeOf, ticketFor } from '../support/client.mjs';
import { unique, withCluster } from '../support/suite.mjs';
import { until } from '../support/wait.mjs';

const HELD = 12;
const LOADS_MS = 20_000;

// Without it, so few connections would be nobody's burden.
const suite = withCluster({
  env: {
    PHALANX__TICKET__BALANCE__MIN_CONNECTIONS: '4',
    // The same users are asked for until something has changed.
    PHALANX__TICKET__LIMITS__USER_PER_SECOND: '0',
  },
});

test('users of a full spear are led to the next one, and back when it has room', { timeout: 90_000 }, async () => {
  const { cluster } = suite;
  const spears = [...cluster.nodes.values()].filter((node) => node.role === 'spear');
  const [full] = spears.map((node) => node.id);
  // Names that belong to it, found while nobody is connected.
  const users = [];
  for (let number = 0; users.length < HELD + 3; number += 1) {
    const user = `${unique('u')}-${number}`;
    if ((await homeOf(cluster, user)) === full) users.push(user);
  }
  const late = users.splice(HELD);
  const clients = [];
  for (const user of users) {
    // Avoiding the others leads to it, full or not.
    const avoid = spears.map((node) => node.id).filter((id) => id !== full);
    clients.push(await Client.connect(cluster, user, { avoid }));
  }
  assert.ok(clients.every((client) => client.node === full));
  const homes = () => Promise.all(late.map((user) => homeOf(cluster, user)));
  await until(async () => (await homes()).every((home) => home !== full), LOADS_MS, `${full} is full`);
  const { alternates } = await ticketFor(cluster, late[0]);
  assert.equal(alternates.at(-1).spear.id, full, 'it is the last of the alternates');
  const { conditions } = await cluster.readiness('ticket-1');
  const { detail } = conditions.find(({ name }) => name === 'spears');
  assert.match(detail, /loads of stat-\d, 1 full/);
  assert.equal(await cluster.metric('ticket-1', 'phalanx_ticket_spears_full'), 1);
  for (const client of clients) client.close();
  await until(async () => (await homes()).every((home) => home === full), LOADS_MS, `${full} has room again`);
});
