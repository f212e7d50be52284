// A group as large as the settings allow.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Client, usersOnDifferentSpears } from '../support/client.mjs';
import { unique, withCluster } from '../support/suite.mjs';

const MEMBERS = 100_000;
const A_CALL = 1_000;

const suite = withCluster();

test('100,000 members: those who are online get what is sent, all are listed, one more is refused', async () => {
  const [alice, bob] = await Promise.all(
    Object.values(await usersOnDifferentSpears(suite.cluster, unique('u'))).map((user) => Client.connect(suite.cluster, user)),
  );
  const name = unique('g');
  const path = `/v1/groups/${name}/members`;
  assert.equal((await suite.cluster.stat('PUT', `/v1/groups/${name}`, { open: true })).status, 201);
  const everybody = [alice.user, bob.user, ...Array.from({ length: MEMBERS - 2 }, (_, number) => `member-${number}`)];
  for (let first = 0; first < MEMBERS; first += A_CALL) {
    const { status, body } = await suite.cluster.stat('PUT', path, { users: everybody.slice(first, first + A_CALL) });
    assert.deepEqual([status, body.members], [200, first + A_CALL]);
  }
  const { seq } = await alice.sendToGroup(name, 'to all of you');
  assert.deepEqual((await bob.receives(`g:${name}`, 1)).map((message) => message.seq), [seq]);

  const listed = [];
  let cursor;
  do {
    const page = await bob.must('members', { group: name, cursor });
    listed.push(...page.members);
    cursor = page.cursor;
  } while (cursor);
  assert.deepEqual(listed, [...everybody].sort());

  const late = await Client.connect(suite.cluster, unique('u'));
  assert.equal((await late.ask('join', { group: name })).error.code, 'forbidden');
  assert.equal((await suite.cluster.stat('PUT', path, { users: [late.user] })).status, 403);
  await bob.must('leave', { group: name });
  assert.equal((await late.must('join', { group: name })).members, MEMBERS);

  const stats = await suite.cluster.stat('GET', `/v1/groups/${name}/stats`);
  assert.deepEqual([stats.body.members, stats.body.online], [MEMBERS, 2]);
});
