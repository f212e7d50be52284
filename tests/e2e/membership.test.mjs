// Clients join and leave groups by themselves, and see who is in.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { Client, usersOnDifferentSpears } from '../support/client.mjs';
import { unique, withCluster } from '../support/suite.mjs';

async function couple(suite) {
  const users = Object.values(await usersOnDifferentSpears(suite.cluster, unique('u')));
  return Promise.all(users.map((user) => Client.connect(suite.cluster, user)));
}

async function group(suite, { open, members = [] }) {
  const name = unique('g');
  assert.equal((await suite.cluster.stat('PUT', `/v1/groups/${name}`, { open })).status, 201);
  if (members.length > 0) await add(suite, name, members);
  return name;
}

async function add(suite, name, users) {
  return suite.cluster.stat('PUT', `/v1/groups/${name}/members`, { users });
}

async function codeOf(answer) {
  const { ok, error } = await answer;
  assert.equal(ok, false);
  return error.code;
}

describe('with the usual bounds', () => {
  const suite = withCluster();

  test('an open group is joined and left; what is sent in between is delivered', async () => {
    const [alice, bob] = await couple(suite);
    const name = await group(suite, { open: true });
    assert.deepEqual(await alice.must('join', { group: name }), { ok: true, members: 1 });
    await alice.sendToGroup(name, 'alone');
    assert.equal(await codeOf(bob.ask('send', { to: { group: name }, body: 'before' })), 'not_member');
    assert.equal((await bob.must('join', { group: name })).members, 2);
    assert.equal((await bob.must('join', { group: name })).members, 2, 'who is in stays in');
    const { seq } = await alice.sendToGroup(name, 'welcome');
    assert.deepEqual((await bob.receives(`g:${name}`, 1)).map((message) => message.seq), [seq]);
    assert.deepEqual((await bob.must('leave', { group: name })).members, 1);
    assert.equal(await codeOf(bob.ask('leave', { group: name })), 'not_member');
    await alice.sendToGroup(name, 'he is gone');
    // What is sent directly afterwards comes, so what did not come before it does not come.
    await alice.sendTo(bob.user, 'between us');
    await bob.event('message', (message) => message.body === 'between us');
    assert.deepEqual(bob.in(`g:${name}`).map((message) => message.body), ['welcome']);
    const { messages, last_seq } = await bob.must('sync', { conversation: `g:${name}`, after: 0 });
    assert.deepEqual([messages.map((message) => message.body), last_seq], [['welcome'], seq]);
  });

  test('a closed group lets nobody in', async () => {
    const [alice, bob] = await couple(suite);
    const name = await group(suite, { open: false, members: [alice.user] });
    assert.equal(await codeOf(bob.ask('join', { group: name })), 'forbidden');
    assert.equal((await alice.must('join', { group: name })).members, 1, 'a member is in already');
    assert.equal(await codeOf(bob.ask('join', { group: unique('nothing') })), 'not_found');
    assert.equal(await codeOf(bob.ask('leave', { group: unique('nothing') })), 'not_found');
    for (const payload of [{}, { group: 'a b' }, { group: name, more: 1 }, [name]]) {
      assert.equal(await codeOf(bob.ask('join', payload)), 'bad_request', JSON.stringify(payload));
    }
  });

  test('members see who is in, page by page', async () => {
    const [alice, stranger] = await couple(suite);
    const others = Array.from({ length: 5 }, () => unique('u'));
    const name = await group(suite, { open: false, members: [alice.user, ...others] });
    const seen = [];
    let cursor;
    do {
      const page = await alice.must('members', { group: name, cursor, limit: 4 });
      assert.ok(page.members.length <= 4);
      seen.push(...page.members);
      cursor = page.cursor;
    } while (cursor);
    assert.deepEqual(seen, [alice.user, ...others].sort());
    assert.equal(await codeOf(stranger.ask('members', { group: name })), 'not_member');
    assert.equal(await codeOf(stranger.ask('members', { group: unique('nothing') })), 'not_found');
  });
});

describe('with small bounds, and all of the history for those who join', () => {
  const bounds = (role, table) => ({
    [`PHALANX__${role}__${table}__GROUP_MEMBERS`]: '3',
    [`PHALANX__${role}__${table}__USER_GROUPS`]: '2',
    [`PHALANX__${role}__${table}__JOIN_HISTORY`]: 'all',
  });
  const suite = withCluster({ env: { ...bounds('SPEAR', 'LIMITS'), ...bounds('STAT', 'CONVERSATION') } });

  test('a full group takes nobody', async () => {
    const [alice, bob] = await couple(suite);
    const name = await group(suite, { open: true, members: [alice.user, unique('u'), unique('u')] });
    assert.equal(await codeOf(bob.ask('join', { group: name })), 'forbidden');
    const { status, body } = await add(suite, name, [bob.user]);
    assert.deepEqual([status, body.code], [403, 'forbidden']);
    assert.equal((await add(suite, name, [alice.user])).status, 200, 'who is in is not one more');
    await alice.must('leave', { group: name });
    assert.equal((await bob.must('join', { group: name })).members, 3);
  });

  test('a user in as many groups as allowed joins no further one, and may after leaving one', async () => {
    const [alice] = await couple(suite);
    const names = [await group(suite, { open: true }), await group(suite, { open: true }), await group(suite, { open: true })];
    await alice.must('join', { group: names[0] });
    await alice.must('join', { group: names[1] });
    await alice.must('join', { group: names[1] });
    assert.equal(await codeOf(alice.ask('join', { group: names[2] })), 'forbidden');
    assert.equal((await add(suite, names[2], [alice.user])).status, 403);
    await alice.sendToGroup(names[0], 'so that leaving leaves something behind');
    await alice.must('leave', { group: names[0] });
    await alice.must('join', { group: names[2] });
  });

  test('one who joins reads what was before, and is not sent it', async () => {
    const [alice, bob] = await couple(suite);
    const name = await group(suite, { open: true, members: [alice.user] });
    await alice.sendToGroup(name, 'old');
    await bob.must('join', { group: name });
    await alice.sendToGroup(name, 'new');
    assert.deepEqual((await bob.receives(`g:${name}`, 1)).map((message) => message.body), ['new']);
    const page = async () => (await bob.must('sync', { conversation: `g:${name}`, after: 0 })).messages;
    assert.deepEqual((await page()).map((message) => message.body), ['old', 'new']);
    await bob.must('leave', { group: name });
    await alice.sendToGroup(name, 'later');
    assert.deepEqual((await page()).map((message) => message.body), ['old', 'new']);
  });
});
