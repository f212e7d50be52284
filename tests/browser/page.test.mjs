// The web monitor in a real browser: the nodes, two people who talk, and what it says where something is down.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { usersOnDifferentSpears } from '../support/client.mjs';
import { EMBEDDED } from '../support/profile.mjs';
import { unique, withCluster } from '../support/suite.mjs';
import { withBrowser } from './browser.mjs';

const suite = withCluster();
const browser = withBrowser();

const nodes = () => [...suite.cluster.nodes.keys()].sort();

const open = (options) => browser.open(suite.cluster.url(40000), options);

/** The panel of a simulated client. */
function panel(page, user) {
  return page.getByRole('region', { name: `Client ${user}`, exact: true });
}

/** Names the client that was called `before`; answers its panel under the new name. */
async function rename(page, before, user) {
  await panel(page, before).getByLabel('User', { exact: true }).fill(user);
  return panel(page, user);
}

/** A token of one's own is needed where the cluster has no /dev/token. */
async function giveToken(client, user) {
  if (EMBEDDED) return;
  await client.getByText('More: any event, a token of your own').click();
  await client.getByLabel(/^Token;/).fill(await suite.cluster.token(user, { scope: ['monitor'] }));
}

async function connect(client) {
  await client.getByRole('button', { name: 'Connect', exact: true }).click();
  await client.getByText(/^connected to spear-/).waitFor();
}

async function send(client, kind, name, text) {
  await client.getByLabel('To', { exact: true }).selectOption(kind);
  await client.getByLabel(`Name of the ${kind}`).fill(name);
  await client.getByLabel('Message', { exact: true }).fill(text);
  await client.getByRole('button', { name: 'Send', exact: true }).click();
}

/** The lines of a client's log that hold this text. */
function logged(client, text) {
  return client.getByRole('log').locator('.line').filter({ hasText: text });
}

test('every node of every role is up in the table', async () => {
  const { page, faults } = await open();
  await page.getByText('Nodes up').locator('..').getByText(`${nodes().length} / ${nodes().length}`).waitFor();
  const rows = page.locator('tr[data-node]');
  assert.deepEqual((await rows.evaluateAll((all) => all.map((row) => row.dataset.node))).sort(), nodes());
  assert.equal(await page.locator('tr[data-node] td[data-name="State"]', { hasText: /^up$/ }).count(), nodes().length);
  await page.getByRole('button', { name: 'spear-1' }).press('Enter');
  await page.getByText(suite.cluster.url(30001)).waitFor();
  assert.deepEqual(faults, []);
});

test('a message goes from one spear to the other and is confirmed', async () => {
  const [one, other] = Object.values(await usersOnDifferentSpears(suite.cluster, unique('b')));
  const { page, faults } = await open();
  const alice = await rename(page, 'alice', one);
  const bob = await rename(page, 'bob', other);
  await giveToken(alice, one);
  await giveToken(bob, other);
  await connect(alice);
  await connect(bob);
  const nodes = await page.getByText(/^connected to spear-/).allTextContents();
  assert.equal(new Set(nodes).size, 2, `both on one spear: ${nodes}`);

  const text = `hello ${unique('text')}`;
  await send(alice, 'user', other, text);
  await logged(alice, 'send · answer').filter({ hasText: '"seq":1' }).waitFor();
  await logged(bob, text).filter({ hasText: 'message' }).waitFor();
  await logged(bob, 'ack · answer').filter({ hasText: '"ok":true' }).first().waitFor();

  // After a reconnect with a fresh ticket nothing comes twice, and the road back works.
  await bob.getByRole('button', { name: 'Disconnect' }).click();
  await connect(bob);
  await send(bob, 'user', one, `${text} to you`);
  await logged(alice, `${text} to you`).filter({ hasText: 'message' }).waitFor();
  assert.equal(await logged(bob, text).filter({ hasText: `"from":"${one}"` }).count(), 1);
  assert.deepEqual(faults, []);
});

test('who is watched is seen to come and go, and a group that one is not in', async () => {
  const [one, other] = Object.values(await usersOnDifferentSpears(suite.cluster, unique('b')));
  const group = unique('g');
  await suite.cluster.stat('PUT', `/v1/groups/${group}`, { open: false });
  await suite.cluster.stat('PUT', `/v1/groups/${group}/members`, { users: [other] });
  const { page, faults } = await open();
  const alice = await rename(page, 'alice', one);
  const bob = await rename(page, 'bob', other);
  await giveToken(alice, one);
  await giveToken(bob, other);
  await connect(alice);
  await alice.getByText('Watch', { exact: true }).first().click();
  const watch = async (kind, name) => {
    await alice.getByLabel('Watch', { exact: true }).selectOption({ label: kind });
    await alice.getByLabel('Name of whom to watch').fill(name);
    await alice.getByRole('button', { name: 'Watch', exact: true }).click();
  };
  const watched = (name) => alice.getByRole('list', { name: 'Watched' }).getByRole('listitem').filter({ hasText: name });
  await watch('presence of a user', other);
  await watched(other).getByText('offline').waitFor();
  await connect(bob);
  await watched(other).getByText('online, 1 device').waitFor();

  await watch('messages of a group', group);
  await watched(group).waitFor();
  const text = `hello ${unique('text')}`;
  await logged(alice, 'watch · answer').filter({ hasText: '"ok":true' }).nth(1).waitFor();
  await send(bob, 'group', group, text);
  await logged(alice, text).filter({ hasText: 'message' }).waitFor();
  await alice.getByRole('button', { name: `Unwatch ${group}` }).click();
  await watched(group).waitFor({ state: 'detached' });
  assert.deepEqual(faults, []);
});

test('a ticket that cannot be reached is named, and tried again', async () => {
  const { page } = await open();
  const address = page.getByLabel('Ticket address');
  await page.waitForFunction(() => document.querySelector('#ticket-url')?.value !== '');
  const right = await address.inputValue();
  const tickets = [...suite.cluster.nodes.values()].filter((node) => node.role === 'ticket');
  assert.ok(tickets.some((node) => node.url === right), right);
  await address.fill('http://127.0.0.1:1');
  const alice = panel(page, 'alice');
  await giveToken(alice, 'alice');
  await alice.getByRole('button', { name: 'Connect', exact: true }).click();
  await alice.getByRole('alert').filter({ hasText: 'ticket cannot be reached (http://127.0.0.1:1/' }).waitFor();
  await address.fill(right);
  await alice.getByText(/^connected to spear-/).waitFor();
});

test('a stat that cannot be reached is named, and what was known stays', async () => {
  const { page } = await open();
  await page.locator('tr[data-node]').first().waitFor();
  const body = JSON.stringify({ code: 'unavailable', detail: 'no stat node answers' });
  await page.route('**/api/totals', (route) =>
    route.fulfill({ status: 503, contentType: 'application/problem+json', body }),
  );
  await page.getByRole('alert').filter({ hasText: 'no stat node answers (unavailable)' }).waitFor();
  assert.equal(await page.locator('tr[data-node]').count(), nodes().length);
  await page.unroute('**/api/totals');
  await page.getByText(/^live · /).waitFor();
});

test('the page fits a narrow window, in light and in dark', async () => {
  for (const colorScheme of ['light', 'dark']) {
    const { page, faults } = await open({ colorScheme, viewport: { width: 360, height: 740 } });
    await page.locator('tr[data-node]').first().waitFor();
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    assert.ok(overflow <= 0, `the page is ${overflow} px too wide`);
    assert.deepEqual(faults, []);
  }
});
