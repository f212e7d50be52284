// The checker's own tests, promise 1: every way to lose a message is found, and what only looks lost is not.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { broken, holds, rules } from './expect.mjs';
import { DIRECT, GROUP, Script } from './script.mjs';

/** Alice and bob, connected; three messages from her that he got. */
function conversation() {
  const run = new Script();
  const alice = run.connect('alice');
  const bob = run.connect('bob');
  const messages = ['c1', 'c2', 'c3'].map((cid) => run.send(alice, DIRECT, cid));
  return { run, alice, bob, messages };
}

test('a right run holds', async () => {
  const { run, alice, bob, messages } = conversation();
  run.receive(bob, ...messages);
  run.drained(alice, bob);
  run.end();
  await holds(run);
});

test('an acknowledged message that is not in the history at the end', async () => {
  const { run, alice, bob, messages } = conversation();
  run.receive(bob, ...messages);
  run.drained(alice, bob);
  run.end({ change: (message) => (message.seq === 3 ? undefined : message) });
  run.events.at(-1).last_seq = 2;
  const [lost] = await broken(run, 'lost', 'unstored');
  assert.deepEqual([lost.promise, lost.conversation, lost.seq], [1, DIRECT, 3]);
  const kinds = lost.evidence.map((event) => event.is);
  assert.ok(kinds.includes('send') && kinds.includes('sent') && kinds.includes('history'), kinds.join());
});

test('an acknowledged message whose place another one has', async () => {
  const { run, alice, bob, messages } = conversation();
  const call = run.sending(alice, DIRECT, 'c4');
  run.answer(call, { seq: 3, id: 'another', sent_at: 1003 });
  run.receive(bob, ...messages);
  run.drained(alice, bob);
  run.end();
  await broken(run, 'lost', 'two at one seq');
});

test('a message in the middle of the history that is gone', async () => {
  const { run, alice, bob, messages } = conversation();
  run.receive(bob, ...messages);
  run.drained(alice, bob);
  run.end({ change: (message) => (message.seq === 2 ? undefined : message) });
  await broken(run, 'lost', 'hole', 'unstored');
});

test('another body than the one that was sent', async () => {
  const { run, alice, bob, messages } = conversation();
  for (const message of messages) message.body = message.seq === 2 ? 'something else' : message.body;
  run.receive(bob, ...messages);
  run.drained(alice, bob);
  run.end();
  await broken(run, 'lost');
});

test('a stored message that nobody sent', async () => {
  const { run, alice, bob, messages } = conversation();
  run.receive(bob, ...messages);
  run.drained(alice, bob);
  run.end();
  run.events.at(-1).last_seq = 4;
  run.add({ is: 'stored', conversation: DIRECT, seq: 4, id: 'x', from: 'mallory', cid: 'm', body: 'b', sent_at: 2000 });
  assert.ok((await rules(run)).includes('unsent'));
});

test('a message that a device never got', async () => {
  const { run, alice, bob, messages } = conversation();
  run.receive(bob, ...messages.slice(0, 2));
  run.disconnect(bob);
  const back = run.connect('bob');
  run.receive(back, ...messages.slice(0, 2));
  run.drained(alice, back);
  run.end();
  const found = await broken(run, 'undelivered', 'unresumed');
  const undelivered = found.find(({ rule }) => rule === 'undelivered');
  assert.deepEqual([undelivered.seq, undelivered.device], [3, 'bob/phone']);
});

test('a message that one of two devices never got', async () => {
  const { run, alice, bob, messages } = conversation();
  run.receive(bob, ...messages);
  const tablet = run.connect('bob', 'tablet');
  const fourth = run.send(alice, DIRECT, 'c4');
  run.receive(bob, fourth);
  run.drained(alice, bob, tablet);
  run.end();
  await broken(run, 'undelivered', 'unresumed');
});

test('a message to somebody who never was there waits for their first device', async () => {
  const { run, alice, bob, messages } = conversation();
  run.receive(bob, ...messages);
  const first = run.send(alice, 'u:alice:carol', 'd1');
  const carol = run.connect('carol');
  run.drained(alice, bob, carol);
  run.end();
  await broken(run, 'undelivered', 'unresumed');
  run.events.splice(run.events.findIndex((event) => event.is === 'drained'), 0, {
    is: 'receive', connection: carol, ...first,
  });
  await holds(run);
});

test('a group: a member of the time of the message is owed it, also after leaving', async () => {
  const run = new Script();
  const [alice, bob] = ['alice', 'bob'].map((user) => run.connect(user));
  run.change('add', ['alice', 'bob']);
  run.send(alice, GROUP, 'c1');
  run.change('remove', ['bob']);
  const second = run.send(alice, GROUP, 'c2');
  run.drained(alice, bob);
  run.end();
  const found = await broken(run, 'undelivered', 'unresumed');
  assert.ok(found.every(({ seq }) => seq === 1), `not ${second.seq}`);
});

test('looks lost: a send that was not answered and is not stored', async () => {
  const { run, alice, bob, messages } = conversation();
  run.receive(bob, ...messages);
  run.sending(alice, DIRECT, 'c4');
  run.refuse(run.sending(alice, DIRECT, 'c5'), 'unavailable');
  run.drained(alice, bob);
  run.end();
  await holds(run);
});

test('looks unsent: a send that was not answered, or answered as unavailable, and is stored', async () => {
  const { run, alice, bob, messages } = conversation();
  run.receive(bob, ...messages);
  const fourth = run.store(run.sending(alice, DIRECT, 'c4'));
  const call = run.sending(alice, DIRECT, 'c5');
  const fifth = run.store(call);
  run.refuse(call, 'unavailable');
  run.receive(bob, fourth, fifth);
  run.drained(alice, bob);
  run.end();
  await holds(run);
});

test('looks undelivered: sent before a further device was there', async () => {
  const { run, alice, bob, messages } = conversation();
  run.receive(bob, ...messages);
  const tablet = run.connect('bob', 'tablet');
  run.drained(alice, bob, tablet);
  run.end();
  await holds(run);
});

test('looks undelivered: under way when a further device came', async () => {
  const { run, alice, bob, messages } = conversation();
  run.receive(bob, ...messages);
  const call = run.sending(alice, DIRECT, 'c4');
  const fourth = run.store(call);
  const tablet = run.connect('bob', 'tablet');
  run.answer(call, fourth);
  run.receive(bob, fourth);
  run.drained(alice, bob, tablet);
  run.end();
  await holds(run);
});

test('looks undelivered: a device that did not come back', async () => {
  const { run, alice, bob, messages } = conversation();
  run.receive(bob, messages[0]);
  run.disconnect(bob);
  run.drained(alice);
  run.end();
  await holds(run);
});

test('looks undelivered: which device came first is not certain', async () => {
  const run = new Script();
  const alice = run.connect('alice');
  run.send(alice, DIRECT, 'c1');
  const phone = run.connecting('bob', 'phone');
  const tablet = run.connecting('bob', 'tablet');
  run.add({ is: 'ready', connection: phone });
  run.add({ is: 'ready', connection: tablet });
  run.drained(alice, phone, tablet);
  run.end();
  await holds(run);
});

test('looks undelivered: trimmed by retention, and named by a gap', async () => {
  const { run, alice, bob, messages } = conversation();
  run.gap(bob, DIRECT, 1, 2);
  run.receive(bob, messages[2]);
  run.drained(alice, bob);
  run.end({ trimmed: 2 });
  await holds(run);
});

test("one's own send that was not acknowledged comes with the next connection", async () => {
  const { run, alice, bob, messages } = conversation();
  const fourth = run.store(run.sending(alice, DIRECT, 'c4'));
  run.receive(bob, ...messages, fourth);
  run.disconnect(alice);
  const again = run.connect('alice');
  run.receive(again, ...messages, fourth);
  run.drained(again, bob);
  run.end();
  await holds(run);
  run.events = run.events.filter((event) => event.is !== 'receive' || event.connection !== again || event.seq !== 4);
  await broken(run, 'undelivered', 'unresumed');
});
