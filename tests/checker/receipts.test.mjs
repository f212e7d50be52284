// The checker's own tests: what users have read.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { broken, holds } from './expect.mjs';
import { DIRECT, GROUP, Script } from './script.mjs';

/** Alice and bob, connected; three messages from her that he got. */
function conversation() {
  const run = new Script();
  const alice = run.connect('alice');
  const bob = run.connect('bob');
  const messages = ['c1', 'c2', 'c3'].map((cid) => run.send(alice, DIRECT, cid));
  run.receive(bob, ...messages);
  const read = (seq, answer) => run.call('read', bob, { conversation: DIRECT, seq }, answer);
  const told = (connection, read_seq, more = {}) =>
    run.add({ is: 'receipt', connection, conversation: DIRECT, user: 'bob', read_seq, ...more });
  return { run, alice, bob, messages, read, told };
}

test('what is read is told, also twice, and what is behind it covers it', async () => {
  const { run, alice, bob, read, told } = conversation();
  for (const seq of [1, 2, 3]) read(seq);
  for (const seq of [1, 3, 3]) told(alice, seq);
  run.drained(alice, bob);
  run.end();
  await holds(run);
});

test('a read mark that goes back on one connection', async () => {
  const { run, alice, read, told } = conversation();
  for (const seq of [1, 3]) read(seq);
  for (const seq of [3, 1]) told(alice, seq);
  run.end();
  const [back] = await broken(run, 'taken back');
  assert.deepEqual([back.seq, back.conversation, back.device], [1, DIRECT, 'alice/phone']);
});

test('looks taken back: the next connection is told again', async () => {
  const { run, alice, read, told } = conversation();
  for (const seq of [1, 3]) read(seq);
  told(alice, 3);
  run.disconnect(alice);
  told(run.connect('alice'), 1);
  run.end();
  await holds(run);
});

test('a receipt of what was not read, or refused, or not that far', async () => {
  for (const asks of [() => {}, (read) => read(3, { ok: false, code: 'not_member' }), (read) => read(2)]) {
    const { run, alice, read, told } = conversation();
    asks(read);
    told(alice, 3);
    run.end();
    await broken(run, 'unread');
  }
});

test('looks unread: written since', async () => {
  const { run, alice, bob, read, told } = conversation();
  read(1);
  run.receive(alice, run.send(bob, DIRECT, 'an answer'));
  told(alice, 4);
  run.end();
  await holds(run);
});

test('a receipt to a stranger', async () => {
  const direct = conversation();
  direct.read(3);
  direct.told(direct.run.connect('carol'), 3);
  direct.run.end();
  await broken(direct.run, 'none of theirs');

  const run = new Script();
  const [alice, bob, carol] = ['alice', 'bob', 'carol'].map((user) => run.connect(user));
  run.change('add', ['alice', 'bob']);
  const one = run.send(alice, GROUP, 'c1');
  run.receive(bob, one);
  run.call('read', bob, { conversation: GROUP, seq: 1 });
  for (const connection of [alice, carol]) run.add({ is: 'receipt', connection, conversation: GROUP, user: 'bob', read_seq: 1 });
  run.end();
  const [found] = await broken(run, 'none of theirs');
  assert.equal(found.connection, carol);
});

test('a receipt before ready', async () => {
  const { run, alice, read, told } = conversation();
  run.disconnect(alice);
  const back = run.connecting('alice');
  read(3);
  told(back, 3);
  run.add({ is: 'ready', connection: back });
  run.end();
  await broken(run, 'soon');
});

test('a device that never hears how far the other one has read', async () => {
  for (const heard of [0, 2]) {
    const { run, alice, bob, read, told } = conversation();
    for (const seq of [2, 3]) read(seq);
    if (heard) told(alice, heard);
    run.drained(alice, bob);
    run.end();
    const [unheard] = await broken(run, 'unheard');
    assert.deepEqual([unheard.seq, unheard.device], [3, 'alice/phone']);
  }
});

test('looks unheard: not answered, not drained, a device that came later, or one who has answered since', async () => {
  const unanswered = conversation();
  unanswered.read(3, { ok: null });
  unanswered.run.drained(unanswered.alice, unanswered.bob);
  unanswered.run.end();
  await holds(unanswered.run);

  const away = conversation();
  away.read(3);
  away.run.drained(away.bob);
  away.run.end();
  await holds(away.run);

  const late = conversation();
  late.read(3);
  late.told(late.alice, 3);
  late.run.drained(late.alice, late.bob, late.run.connect('alice', 'tablet'));
  late.run.end();
  await holds(late.run);

  const { run, alice, bob, read } = conversation();
  run.receive(alice, run.send(bob, DIRECT, 'an answer'));
  read(3);
  run.drained(alice, bob);
  run.end();
  await holds(run);
});
