// Watching messages of conversations that one is not in: for tokens with the scope `monitor`, live only.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Client, directConversation, usersOnDifferentSpears } from '../support/client.mjs';
import { unique, withCluster } from '../support/suite.mjs';
import { until } from '../support/wait.mjs';

const BUDGET_MS = 10_000;
const PER_SECOND = 20;
const BURST = 50;
const MOST = 4;

const suite = withCluster({
  env: {
    PHALANX__SPEAR__WATCH__CONVERSATIONS: String(MOST),
    PHALANX__SPEAR__WATCH__MESSAGES_PER_SECOND: String(PER_SECOND),
    PHALANX__SPEAR__WATCH__MESSAGES_BURST: String(BURST),
  },
});

const monitor = (user = unique('eve'), options) => Client.connect(suite.cluster, user, { scope: ['monitor'], ...options });

/** Two users on different spears. */
async function pair() {
  const users = Object.values(await usersOnDifferentSpears(suite.cluster, unique('u')));
  return Promise.all(users.map((user) => Client.connect(suite.cluster, user)));
}

async function group(...members) {
  const name = unique('g');
  await suite.cluster.stat('PUT', `/v1/groups/${name}`, { open: true });
  await suite.cluster.stat('PUT', `/v1/groups/${name}/members`, { users: members.map(({ user }) => user) });
  return name;
}

/** What it was given, in order, without what ends a test. */
const heard = (client) => client.messages.map(({ conversation, body }) => `${conversation} ${body}`).filter((text) => !text.endsWith('end'));

/** Says the last word to a watcher, in a conversation of its own: what was written before has come by then. */
async function end(from, watcher) {
  const body = `${unique('the')} end`;
  await from.sendTo(watcher.user, body);
  await watcher.event('message', (message) => message.body === body);
}

test('messages of groups, conversations and users, on whichever spear', async () => {
  const [alice, bob] = await pair();
  const carol = unique('carol');
  const team = await group(alice);
  // One on each spear: of each message one of them is told from elsewhere.
  const watchers = [await monitor(undefined, { avoid: [alice.node] }), await monitor(undefined, { avoid: [bob.node] })];
  await alice.sendToGroup(team, 'before');
  for (const watcher of watchers) {
    await watcher.must('watch', { groups: [team] });
    await watcher.must('watch', { conversations: [directConversation(alice.user, bob.user)] });
    await watcher.must('watch', { users: [carol], messages: true });
  }
  const { id, seq, sent_at } = await alice.sendToGroup(team, 'to all', { cid: 'c-1' });
  await bob.sendTo(alice.user, 'to alice');
  await alice.sendTo(bob.user, 'to bob');
  await bob.sendTo(carol, 'to carol');
  await alice.sendTo(unique('dave'), 'to nobody');
  for (const watcher of watchers) {
    const told = await watcher.event('message', ({ body }) => body === 'to all');
    const to = { group: team };
    assert.deepEqual(told, {
      watched: true, conversation: `g:${team}`, seq, id, cid: 'c-1', from: alice.user, device: 'default', to, type: 'text', body: 'to all', sent_at,
    });
    await watcher.receives(directConversation(alice.user, bob.user), 2);
    await watcher.receives(directConversation(bob.user, carol), 1);
    await end(alice, watcher);
    const direct = directConversation(alice.user, bob.user);
    const expected = [`g:${team} to all`, `${direct} to alice`, `${direct} to bob`, `${directConversation(bob.user, carol)} to carol`];
    // What was sent just before may have been on its way still.
    const after = heard(watcher).filter((text) => !text.endsWith(' before'));
    assert.deepEqual(after.sort(), expected.sort());
    // It is live only, and not one's own: there is no history.
    assert.equal((await watcher.ask('sync', { conversation: `g:${team}` })).error.code, 'not_member');
  }
  const [first, second] = watchers;
  await first.must('unwatch', { groups: [team] });
  await first.must('unwatch', { users: [carol, 'never-watched'], messages: true });
  await alice.sendToGroup(team, 'later');
  await bob.sendTo(carol, 'later');
  await second.event('message', ({ conversation, body }) => conversation === `g:${team}` && body === 'later');
  await second.event('message', ({ conversation, body }) => conversation !== `g:${team}` && body === 'later');
  await end(alice, first);
  assert.ok(!heard(first).some((text) => text.endsWith('later')));
});

test('one who is in it gets each message once, as everybody does', async () => {
  const [alice, bob] = await pair();
  const eve = await monitor();
  const team = await group(alice, eve);
  await eve.must('watch', { groups: [team] });
  await eve.must('watch', { users: [bob.user, eve.user], messages: true });
  // Until her spear knows that she is a member, she is a watcher.
  await alice.sendToGroup(team, 'zero');
  await until(() => eve.messages.some(({ watched }) => !watched), BUDGET_MS, 'a member');
  const before = eve.messages.length;
  for (const body of ['one', 'two', 'three']) {
    await alice.sendToGroup(team, body);
    await bob.sendTo(eve.user, body);
    await eve.sendTo(bob.user, body);
  }
  await eve.receives(`g:${team}`, 4);
  await eve.receives(directConversation(bob.user, eve.user), 3);
  await end(alice, eve);
  assert.equal(heard(eve).length, before + 6);
  assert.ok(eve.messages.slice(before).every((message) => message.watched === undefined));
});

test('only with the scope, and only as long as the token has it', async () => {
  const [alice, bob] = await pair();
  const team = await group(alice);
  const all = [{ groups: [team] }, { conversations: [`g:${team}`] }, { users: [bob.user], messages: true }];
  for (const what of all) assert.equal((await alice.ask('watch', what)).error.code, 'forbidden');

  const eve = await monitor();
  for (const what of all) await eve.must('watch', what);
  await eve.must('watch', { users: [bob.user] });
  await alice.sendToGroup(team, 'one');
  await eve.event('message', ({ body }) => body === 'one');
  await eve.must('refresh', { token: await suite.cluster.token(eve.user) });
  await alice.sendToGroup(team, 'two');
  await alice.sendTo(bob.user, 'three');
  await end(alice, eve);
  assert.deepEqual(heard(eve), [`g:${team} one`]);
  for (const what of all) assert.equal((await eve.ask('watch', what)).error.code, 'forbidden');
  bob.close();
  await eve.event('presence', ({ online }) => !online);

  await eve.must('refresh', { token: await suite.cluster.token(eve.user, { scope: ['monitor'] }) });
  for (const what of all) await eve.must('watch', what);
});

test('what cannot be watched', async () => {
  const [alice] = await pair();
  const team = await group(alice);
  const eve = await monitor();
  const bad = [
    { groups: [] },
    { groups: [team], users: ['a'] },
    { groups: [team], messages: true },
    { conversations: ['team'] },
    { conversations: [`r:${team}`] },
    { users: ['a'], messages: 'all' },
    { groups: Array.from({ length: MOST + 1 }, () => unique('g')) },
  ];
  for (const what of bad) {
    for (const event of ['watch', 'unwatch']) assert.equal((await eve.ask(event, what)).error.code, 'bad_request', JSON.stringify(what));
  }
  assert.equal((await eve.ask('watch', { groups: [team, unique('nobody')] })).error.code, 'not_found');
  await eve.must('watch', { users: ['a', 'b'], messages: true });
  await eve.must('watch', { conversations: ['u:a:b', 'u:a:c'] });
  assert.equal((await eve.ask('watch', { groups: [team] })).error.code, 'rate_limited');
  await eve.must('unwatch', { conversations: ['u:a:b'] });
  await eve.must('watch', { groups: [team] });
});

test('a busy group does not drown who watches it, and it is told what it missed', async () => {
  const [alice, bob] = await pair();
  const team = await group(alice, bob);
  const eve = await monitor();
  await eve.must('watch', { groups: [team] });
  const count = 4 * BURST;
  const start = performance.now();
  await Promise.all(Array.from({ length: count }, (_, number) => alice.sendToGroup(team, number)));
  await bob.receives(`g:${team}`, count);
  await end(alice, eve);
  const seconds = (performance.now() - start) / 1_000;
  const given = heard(eve).length;
  assert.ok(given >= BURST && given <= BURST + PER_SECOND * (seconds + 1), `${given} in ${seconds} s`);
  // It is told before the next one that it is given.
  let sent = count;
  while (!eve.events.some(({ name }) => name === 'missed')) {
    await alice.sendToGroup(team, sent);
    sent += 1;
    assert.ok(sent < 2 * count, 'it is told');
  }
  const { messages } = await eve.event('missed');
  assert.ok(messages > 0 && messages <= sent - given, `${messages} of ${sent}, ${given} were given`);
});
