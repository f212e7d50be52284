// Groups: members get what was sent while they were members, on every spear.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Client, history, usersOnDifferentSpears } from '../support/client.mjs';
import { unique, withCluster } from '../support/suite.mjs';
import { until } from '../support/wait.mjs';

const suite = withCluster();

async function group(...members) {
  const name = unique('g');
  const made = await suite.cluster.stat('PUT', `/v1/groups/${name}`, { open: false, name: 'a test' });
  assert.equal(made.status, 201, JSON.stringify(made.body));
  await change('PUT', name, ...members);
  return name;
}

async function change(method, name, ...members) {
  const users = members.map((member) => member.user);
  const { status, body } = await suite.cluster.stat(method, `/v1/groups/${name}/members`, { users });
  assert.equal(status, 200, JSON.stringify(body));
  assert.deepEqual([...body.changed].sort(), [...users].sort());
}

/** Users on both spears, connected. */
async function crowd(perSpear = 1) {
  const clients = [];
  for (let round = 0; round < perSpear; round += 1) {
    const users = Object.values(await usersOnDifferentSpears(suite.cluster, unique('u')));
    clients.push(...(await Promise.all(users.map((user) => Client.connect(suite.cluster, user)))));
  }
  return clients;
}

test('every member gets every message in the same order', async () => {
  const members = await crowd(3);
  const name = await group(...members);
  const answers = await Promise.all(
    members.flatMap((member) => Array.from({ length: 20 }, (_, number) => member.sendToGroup(name, number))),
  );
  const total = members.length * 20;
  assert.deepEqual(
    answers.map((answer) => answer.seq).sort((a, b) => a - b),
    Array.from({ length: total }, (_, index) => index + 1),
  );
  for (const member of members) {
    await member.receives(`g:${name}`, total - 20);
    const seqs = member.messages.map((message) => message.seq);
    assert.deepEqual(seqs, [...new Set(seqs)].sort((a, b) => a - b), `${member.user}: in order, each once`);
    assert.ok(member.messages.every((message) => message.from !== member.user), 'nobody hears themselves');
  }
  const { messages } = await history(members[0], `g:${name}`);
  assert.equal(messages.length, total);
});

test('statistics count members, those online and what was sent', async () => {
  const [alice, bob] = await crowd();
  const away = { user: unique('away') };
  const name = await group(alice, away);
  const stats = async () => (await suite.cluster.stat('GET', `/v1/groups/${name}/stats`)).body;
  assert.deepEqual(await stats(), { group: name, members: 2, online: 1, messages_per_minute: 0 });
  await alice.sendToGroup(name, 'one');
  await alice.sendToGroup(name, 'two');
  assert.deepEqual(await stats(), { group: name, members: 2, online: 1, messages_per_minute: 2 });
  await change('PUT', name, bob);
  assert.equal((await stats()).online, 2);
  alice.close();
  await until(async () => (await stats()).online === 1, 10_000, 'alice is offline');
  assert.equal((await suite.cluster.stat('GET', `/v1/groups/${unique('nothing')}/stats`)).status, 404);
});

test('who is no member neither writes nor reads', async () => {
  const [alice, bob, stranger] = await crowd(2);
  const name = await group(alice, bob);
  const refused = await stranger.ask('send', { to: { group: name }, body: 'let me in' });
  assert.deepEqual([refused.ok, refused.error.code], [false, 'not_member']);
  assert.equal((await stranger.ask('sync', { conversation: `g:${name}` })).error.code, 'not_member');
  await alice.sendToGroup(name, 'among us');
  await bob.receives(`g:${name}`, 1);
  assert.deepEqual(stranger.messages, []);
});

test('a group that is not there is told apart', async () => {
  const [alice] = await crowd();
  const refused = await alice.ask('send', { to: { group: unique('nothing') }, body: 1 });
  assert.equal(refused.ok, false);
  assert.ok(['not_found', 'not_member'].includes(refused.error.code), refused.error.code);
});

test('one who joins later sees what comes from then on', async () => {
  const [alice, bob, carol, dave] = await crowd(2);
  const name = await group(alice, bob);
  await alice.sendToGroup(name, 'before');
  await change('PUT', name, carol);
  await alice.sendToGroup(name, 'after');
  const [message] = await carol.receives(`g:${name}`, 1);
  assert.deepEqual([message.seq, message.body], [2, 'after']);
  assert.deepEqual((await history(carol, `g:${name}`)).messages.map((entry) => entry.seq), [2]);
  // Somebody who was away when they were added finds it when they come.
  const away = { user: unique('away') };
  await change('PUT', name, away, dave);
  await bob.sendToGroup(name, 'third');
  const back = await Client.connect(suite.cluster, away.user);
  assert.deepEqual((await back.receives(`g:${name}`, 1)).map((entry) => entry.body), ['third']);
  await dave.receives(`g:${name}`, 1);
  assert.equal(carol.in(`g:${name}`).length <= 2, true);
});

test('one who is removed hears no more, and keeps what was theirs', async () => {
  const [alice, bob, carol, dave] = await crowd(2);
  const name = await group(alice, bob, carol, dave);
  await alice.sendToGroup(name, 'one');
  await Promise.all([bob, carol, dave].map((member) => member.receives(`g:${name}`, 1)));
  await change('DELETE', name, bob, carol);
  await alice.sendToGroup(name, 'two');
  await dave.receives(`g:${name}`, 2);
  assert.equal((await bob.ask('send', { to: { group: name }, body: 'still here?' })).error.code, 'not_member');
  for (const gone of [bob, carol]) {
    assert.deepEqual((await history(gone, `g:${name}`)).messages.map((entry) => entry.body), ['one']);
    assert.deepEqual(gone.in(`g:${name}`).map((entry) => entry.body), ['one']);
  }
});

test('one who comes back sees both of their times, not the one between', async () => {
  const [alice, bob] = await crowd();
  const name = await group(alice, bob);
  await alice.sendToGroup(name, 'one');
  await bob.receives(`g:${name}`, 1);
  await change('DELETE', name, bob);
  await alice.sendToGroup(name, 'two');
  await change('PUT', name, bob);
  await alice.sendToGroup(name, 'three');
  await bob.receives(`g:${name}`, 2);
  assert.deepEqual(bob.messages.map((entry) => entry.body), ['one', 'three'], 'on this connection each came once');
  assert.deepEqual((await history(bob, `g:${name}`)).messages.map((entry) => entry.body), ['one', 'three']);
});

test('pages of history step over the time between', async () => {
  const [alice, bob] = await crowd();
  const name = await group(alice, bob);
  const write = (count) => Promise.all(Array.from({ length: count }, (_, index) => alice.sendToGroup(name, index)));
  await write(3);
  await change('DELETE', name, bob);
  await write(10);
  await change('PUT', name, bob);
  await write(3);
  const theirs = [1, 2, 3, 14, 15, 16];
  for (const limit of [1, 2, 3, 4, 100]) {
    const { messages } = await history(bob, `g:${name}`, limit);
    assert.deepEqual(messages.map((entry) => entry.seq), theirs, `forwards, ${limit} a page`);
    const backwards = [];
    for (let more = true; more; ) {
      const page = await bob.must('sync', { conversation: `g:${name}`, before: backwards[0] ?? 1000, limit });
      assert.ok(page.messages.length > 0 || !page.more, 'no empty page says that there is more');
      backwards.unshift(...page.messages.map((entry) => entry.seq));
      more = page.more;
    }
    assert.deepEqual(backwards, theirs, `backwards, ${limit} a page`);
  }
});

test('a group stands in the list of conversations', async () => {
  const [alice, bob] = await crowd();
  const name = await group(alice, bob);
  await alice.sendToGroup(name, 'hello');
  await bob.receives(`g:${name}`, 1);
  const { conversations } = await bob.must('conversations', {});
  const entry = conversations.find((each) => each.conversation === `g:${name}`);
  assert.deepEqual([entry.last_seq, entry.unread, entry.last_message.body], [1, 1, 'hello']);
  assert.equal('peer_read_seq' in entry, false);
});
