// The checker's own tests, promise 2: order on a connection, and who is given what.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { broken, holds } from './expect.mjs';
import { DIRECT, GROUP, Script } from './script.mjs';

/** Alice and bob, connected, and what she sent to him. */
function conversation(count = 4) {
  const run = new Script();
  const alice = run.connect('alice');
  const bob = run.connect('bob');
  const messages = Array.from({ length: count }, (_, index) => run.send(alice, DIRECT, `c${index + 1}`));
  return { run, alice, bob, messages };
}

/** Alice and bob in the group; answers their connections. */
function group() {
  const run = new Script();
  const [alice, bob] = ['alice', 'bob'].map((user) => run.connect(user));
  run.change('add', ['alice', 'bob']);
  return { run, alice, bob };
}

test('two messages that change places', async () => {
  const { run, bob, messages: [one, two, three, four] } = conversation();
  run.receive(bob, one, three, two, four);
  run.end();
  const [backwards] = await broken(run, 'backwards', 'skipped');
  assert.deepEqual([backwards.seq, backwards.connection, backwards.device], [2, bob, 'bob/phone']);
});

test('the same message twice on one connection', async () => {
  const { run, bob, messages: [one, two] } = conversation();
  run.receive(bob, one, two, two);
  run.end();
  await broken(run, 'backwards');
});

test('a message left out between two', async () => {
  const { run, bob, messages: [one, , three] } = conversation();
  run.receive(bob, one, three);
  run.end();
  const [skipped] = await broken(run, 'skipped');
  assert.equal(skipped.seq, 2);
});

test('a message left out on one connection that an earlier one had', async () => {
  const { run, bob, messages: [one, two, three, four] } = conversation();
  run.receive(bob, one, two, three);
  run.disconnect(bob);
  const back = run.connect('bob');
  run.receive(back, one, three, four);
  run.end();
  await broken(run, 'skipped');
});

test('a message left out on one connection that an earlier one has confirmed', async () => {
  const { run, bob, messages: [one, two, three, four] } = conversation();
  run.receive(bob, one, two, three);
  run.ack(bob, three);
  run.disconnect(bob);
  const back = run.connect('bob');
  run.receive(back, one, two, four);
  run.end();
  await broken(run, 'skipped');
});

test('looks left out: a newer connection of the device has confirmed it', async () => {
  const { run, bob, messages: [one, two, three, four] } = conversation();
  run.receive(bob, one, two);
  const newer = run.connect('bob');
  run.receive(newer, one, two, three);
  run.ack(newer, three);
  run.receive(bob, four);
  run.end();
  await holds(run);
});

test('a connection that begins after what its device has not confirmed', async () => {
  const { run, bob, messages: [one, two, three, four] } = conversation();
  run.receive(bob, one, two, three);
  run.ack(bob, one);
  run.disconnect(bob);
  const back = run.connect('bob');
  run.receive(back, three, four);
  run.end();
  const [unresumed] = await broken(run, 'unresumed');
  assert.equal(unresumed.seq, 2);
  assert.ok(unresumed.evidence.some((event) => event.is === 'ack' && event.seq === 1));
});

test('a connection to which nothing comes, though its device has not confirmed everything', async () => {
  const { run, alice, bob, messages } = conversation();
  run.receive(bob, ...messages);
  run.ack(bob, messages[2]);
  run.disconnect(bob);
  const back = run.connect('bob');
  run.drained(alice, back);
  run.end();
  const [unresumed] = await broken(run, 'unresumed');
  assert.equal(unresumed.seq, 4);
});

test('a message before ready', async () => {
  const { run, messages } = conversation(1);
  run.disconnect(1);
  const back = run.connecting('bob');
  run.receive(back, ...messages);
  run.add({ is: 'ready', connection: back });
  run.end();
  await broken(run, 'early');
});

test('trimmed, and no gap says so', async () => {
  const { run, bob, messages: [one, , , four] } = conversation();
  run.receive(bob, one, four);
  run.end({ trimmed: 3 });
  await broken(run, 'skipped');
});

test('sent_at that decreases', async () => {
  const { run, bob, messages } = conversation();
  messages[2].sent_at = 1;
  run.receive(bob, ...messages);
  run.end();
  await broken(run, 'time');
});

test('an answer with another sent_at than the history', async () => {
  const { run, bob, messages } = conversation();
  run.receive(bob, ...messages);
  run.end({ change: (message) => ({ ...message, sent_at: message.sent_at + 7 }) });
  await broken(run, 'time');
});

test('a message that was sent after another one was acknowledged, and stands before it', async () => {
  const run = new Script();
  const alice = run.connect('alice');
  const early = run.sending(alice, DIRECT, 'early');
  run.answer(early, { seq: 2, id: `${DIRECT} 2`, sent_at: 1002 });
  const late = run.sending(alice, DIRECT, 'late');
  run.answer(late, run.store(late));
  run.store(early);
  run.end();
  await broken(run, 'overtaken');
});

test('a message to somebody who was removed before it was sent', async () => {
  const { run, alice, bob } = group();
  const one = run.send(alice, GROUP, 'c1');
  run.change('remove', ['bob']);
  const two = run.send(alice, GROUP, 'c2');
  run.receive(bob, one, two);
  run.end();
  const [stranger] = await broken(run, 'stranger');
  assert.equal(stranger.seq, 2);
  assert.ok(stranger.evidence.some((event) => event.is === 'change' && event.remove));
});

test('a message from before somebody joined', async () => {
  const { run, alice } = group();
  const one = run.send(alice, GROUP, 'c1');
  run.change('add', ['carol']);
  const carol = run.connect('carol');
  run.receive(carol, one);
  run.end();
  await broken(run, 'stranger');
});

test('a message of two others', async () => {
  const { run, messages } = conversation();
  const carol = run.connect('carol');
  run.receive(carol, messages[0]);
  run.end();
  await broken(run, 'stranger');
});

test('a hole in a group that the time of being a member does not explain', async () => {
  const { run, alice, bob } = group();
  const [one, , three] = ['c1', 'c2', 'c3'].map((cid) => run.send(alice, GROUP, cid));
  run.receive(bob, one, three);
  run.change('remove', ['bob']);
  run.end();
  await broken(run, 'skipped');
});

test('looks like a hole: what this connection sent itself', async () => {
  const { run, alice, bob, messages: [one] } = conversation(1);
  const own = run.send(bob, DIRECT, 'mine');
  const unanswered = run.store(run.sending(bob, DIRECT, 'mine too'));
  const last = run.send(alice, DIRECT, 'c2');
  run.receive(bob, one, last);
  run.receive(alice, own, unanswered);
  run.end();
  await holds(run);
});

test('a hole: what an earlier connection of the device sent, and has no answer for', async () => {
  const { run, alice, bob, messages: [one] } = conversation(1);
  run.store(run.sending(bob, DIRECT, 'mine'));
  run.disconnect(bob);
  const back = run.connect('bob');
  run.receive(back, one, run.send(alice, DIRECT, 'c2'));
  run.end();
  await broken(run, 'skipped');
});

test("looks like a hole: sent by the user's other device, and come there by its answer", async () => {
  const { run, alice, bob, messages: [one] } = conversation(1);
  const tablet = run.connect('bob', 'tablet');
  const theirs = run.send(tablet, DIRECT, 'from the tablet');
  const last = run.send(alice, DIRECT, 'c2');
  run.receive(bob, one, theirs, last);
  run.receive(tablet, last);
  run.drained(tablet);
  run.end();
  await holds(run);
});

test('looks backwards: everything again on another connection, a crash took the ack back', async () => {
  const { run, alice, bob, messages } = conversation();
  run.receive(bob, ...messages);
  run.ack(bob, messages[3]);
  run.disconnect(bob);
  const back = run.connect('bob');
  run.receive(back, ...messages);
  run.drained(alice, back);
  run.end();
  await holds(run);
});

test('looks backwards: two connections of one device at once', async () => {
  const { run, bob, messages } = conversation();
  const again = run.connect('bob');
  run.receive(again, messages[0]);
  run.receive(bob, messages[0], messages[1]);
  run.receive(again, ...messages.slice(1));
  run.end();
  await holds(run);
});

test('looks unresumed: confirmed before', async () => {
  const { run, alice, bob, messages } = conversation();
  run.receive(bob, ...messages.slice(0, 3));
  run.ack(bob, messages[2]);
  run.disconnect(bob);
  const back = run.connect('bob');
  run.receive(back, messages[3]);
  run.drained(alice, back);
  run.end();
  await holds(run);
});

test('looks like a hole: the time when the user was no member', async () => {
  const { run, alice, bob } = group();
  const one = run.send(alice, GROUP, 'c1');
  run.change('remove', ['bob']);
  run.send(alice, GROUP, 'c2');
  run.change('add', ['bob']);
  const three = run.send(alice, GROUP, 'c3');
  run.receive(bob, one, three);
  run.drained(alice, bob);
  run.end();
  await holds(run);
});

test('open: what was sent while the change was under way may come or not', async () => {
  for (const comes of [true, false]) {
    const { run, alice, bob } = group();
    run.add({ is: 'change', call: 'r', group: 'team', remove: ['bob'] });
    const one = run.send(alice, GROUP, 'c1');
    run.add({ is: 'changed', call: 'r', ok: true });
    if (comes) run.receive(bob, one);
    run.drained(alice, bob);
    run.end();
    await holds(run);
  }
});

test('open: after a removal that nobody answered, everything may come or not', async () => {
  for (const comes of [true, false]) {
    const { run, alice, bob } = group();
    run.change('remove', ['bob'], null);
    const one = run.send(alice, GROUP, 'c1');
    if (comes) run.receive(bob, one);
    run.drained(alice, bob);
    run.end();
    await holds(run);
  }
});

test('a removal that was refused changes nothing', async () => {
  const { run, alice, bob } = group();
  run.change('remove', ['bob'], false);
  const one = run.send(alice, GROUP, 'c1');
  run.drained(alice, bob);
  run.end();
  await broken(run, 'undelivered', 'unresumed');
  assert.equal(one.seq, 1);
});
