// The checker's own tests, promise 3: once.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { broken, holds } from './expect.mjs';
import { DIRECT, Script } from './script.mjs';

function conversation() {
  const run = new Script();
  const alice = run.connect('alice');
  const bob = run.connect('bob');
  return { run, alice, bob, message: run.send(alice, DIRECT, 'c1') };
}

test('a seq that is delivered with another id', async () => {
  const { run, bob, message } = conversation();
  run.receive(bob, { ...message, id: 'another' });
  run.end();
  const [two] = await broken(run, 'two at one seq');
  assert.deepEqual([two.seq, two.device], [1, 'bob/phone']);
});

test('a seq that is delivered with another body, sender or cid', async () => {
  for (const change of [{ body: 'another' }, { from: 'mallory' }, { cid: 'c9' }]) {
    const { run, bob, message } = conversation();
    run.receive(bob, { ...message, ...change });
    run.end();
    await broken(run, 'two at one seq');
  }
});

test('a seq that is delivered as two messages, without a history', async () => {
  const { run, bob, message } = conversation();
  run.receive(bob, message);
  const back = run.connect('bob');
  run.receive(back, { ...message, id: 'another' });
  await broken(run, 'two at one seq');
});

test('a seq that the history has twice', async () => {
  const { run, message } = conversation();
  run.end();
  run.events.splice(-1, 0, { is: 'stored', ...message, id: 'another' });
  await broken(run, 'two at one seq');
});

test('a cid that is stored twice', async () => {
  const { run, alice, bob, message } = conversation();
  const call = run.sending(alice, DIRECT, 'c1');
  const again = run.store(call);
  run.receive(bob, message, again);
  run.end();
  await broken(run, 'stored twice');
});

test('a repeated cid that is answered with another seq', async () => {
  const { run, alice } = conversation();
  const call = run.sending(alice, DIRECT, 'c1');
  const again = run.store(call);
  run.answer(call, again, { duplicate: true });
  run.end();
  await broken(run, 'two answers', 'stored twice');
});

test('a repetition that is not called one, and a first one that is', async () => {
  const { run, alice, message } = conversation();
  run.answer(run.sending(alice, DIRECT, 'c1'), message);
  run.end();
  await broken(run, 'duplicate');
  const other = new Script();
  const call = other.sending(other.connect('alice'), DIRECT, 'c1');
  other.answer(call, other.store(call), { duplicate: true });
  other.end();
  await broken(other, 'duplicate');
});

test('an id at two places', async () => {
  const { run, alice } = conversation();
  run.send(alice, 'u:alice:carol', 'd1').id = `${DIRECT} 1`;
  run.events.findLast((event) => event.is === 'sent').id = `${DIRECT} 1`;
  run.end();
  await broken(run, 'one at two seqs');
});

test('a send that was refused, and is stored', async () => {
  const { run, alice } = conversation();
  const call = run.sending(alice, DIRECT, 'c2');
  run.store(call);
  run.refuse(call, 'not_member');
  run.end();
  await broken(run, 'refused');
});

test('looks twice: a repeated cid with the same answer, also under another connection and device', async () => {
  const { run, alice, bob, message } = conversation();
  run.answer(run.sending(alice, DIRECT, 'c1'), message, { duplicate: true });
  const tablet = run.connect('alice', 'tablet');
  run.answer(run.sending(tablet, DIRECT, 'c1'), message, { duplicate: true });
  run.receive(bob, message);
  run.drained(alice, bob, tablet);
  run.end();
  await holds(run);
});

test('looks twice: the first attempt has no answer, the second one is called a repetition', async () => {
  const { run, alice, bob } = conversation();
  const stored = run.store(run.sending(alice, DIRECT, 'c2'));
  run.disconnect(alice);
  const again = run.connect('alice');
  run.answer(run.sending(again, DIRECT, 'c2'), stored, { duplicate: true });
  run.receive(bob, { ...stored, seq: 1, id: `${DIRECT} 1`, cid: 'c1', body: 'body of c1' }, stored);
  run.end();
  await holds(run);
});

test('looks refused: one attempt was refused, another one stored', async () => {
  const { run, alice } = conversation();
  run.refuse(run.sending(alice, DIRECT, 'c2'), 'rate_limited');
  run.send(alice, DIRECT, 'c2');
  run.end();
  await holds(run);
});

test('the same cid of two users, or in two conversations, is two messages', async () => {
  const { run, alice, bob } = conversation();
  run.send(bob, DIRECT, 'c1');
  run.send(alice, 'u:alice:carol', 'c1');
  run.end();
  await holds(run);
});
