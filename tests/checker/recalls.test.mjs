// The checker's own tests: messages that are taken back.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { broken, holds } from './expect.mjs';
import { DIRECT, GROUP, Script } from './script.mjs';

/** Alice and bob, connected; two messages from her that he got. */
function conversation() {
  const run = new Script();
  const alice = run.connect('alice');
  const bob = run.connect('bob');
  const messages = ['c1', 'c2'].map((cid) => run.send(alice, DIRECT, cid));
  run.receive(bob, ...messages);
  return { run, alice, bob, messages };
}

/** Alice and bob in the group, connected; a message from her that he got. */
function group() {
  const run = new Script();
  const [alice, bob] = ['alice', 'bob'].map((user) => run.connect(user));
  run.change('add', ['alice', 'bob']);
  const message = run.send(alice, GROUP, 'c1');
  run.receive(bob, message);
  return { run, alice, bob, message };
}

/** As it was before it was taken back. */
const before = (message, cid = message.cid) => ({ ...message, body: `body of ${cid}`, recalled_at: undefined });

test('taken back, and everybody is told: whoever comes later gets a tombstone', async () => {
  const { run, alice, bob, messages: [one, two] } = conversation();
  run.disconnect(bob);
  run.recall(alice, two);
  run.recalled(alice, two);
  const back = run.connect('bob');
  run.receive(back, one, two);
  run.recalled(back, two);
  run.drained(alice, back);
  run.end();
  await holds(run);
});

test('a body after its recalled', async () => {
  const { run, alice, messages: [one] } = conversation();
  const tablet = run.connect('bob', 'tablet');
  run.recall(alice, one);
  run.recalled(tablet, one);
  run.receive(tablet, before(one));
  run.end();
  const [body] = await broken(run, 'body');
  assert.deepEqual([body.seq, body.device], [1, 'bob/tablet']);
  assert.ok(body.evidence.some((event) => event.is === 'recalled'));
});

test('a body on a connection that began after the recall was acknowledged', async () => {
  const { run, alice, bob, messages: [one] } = conversation();
  run.disconnect(bob);
  run.recall(alice, one);
  const back = run.connect('bob');
  run.receive(back, before(one));
  run.end();
  const [body] = await broken(run, 'body');
  assert.ok(body.evidence.some((event) => event.is === 'answer' && event.ok));
});

test('a body on a connection that began after somebody got a tombstone, or a recalled', async () => {
  for (const tombstone of [true, false]) {
    const { run, alice, bob, messages: [one] } = conversation();
    run.disconnect(bob);
    const old = before(one);
    run.recall(alice, one);
    run.events.splice(run.events.findLastIndex((event) => event.is === 'answer'), 1);
    const tablet = run.connect('bob', 'tablet');
    if (tombstone) run.receive(tablet, one);
    else run.recalled(tablet, one);
    const back = run.connect('bob');
    run.receive(back, old);
    run.end();
    await broken(run, 'body');
  }
});

test('looks late: a body on a connection that was there before the recall', async () => {
  const { run, alice, messages: [one, two] } = conversation();
  const tablet = run.connect('bob', 'tablet');
  run.recall(alice, one);
  run.receive(tablet, before(one), two);
  run.recalled(tablet, one);
  run.end();
  await holds(run);
});

test('a tombstone, a recalled or a history of what nobody has taken back', async () => {
  for (const shown of ['tombstone', 'recalled', 'history']) {
    const { run, alice, bob, messages: [one, two] } = conversation();
    run.disconnect(bob);
    run.recall(alice, one);
    const back = run.connect('bob');
    const gone = { ...two, body: one.body, recalled_at: 2002 };
    run.receive(back, one, shown === 'tombstone' ? gone : two);
    if (shown === 'recalled') run.recalled(back, two);
    run.end({ change: (message) => (shown === 'history' && message.seq === 2 ? gone : message) });
    const [unrecalled] = await broken(run, 'unrecalled');
    assert.equal(unrecalled.seq, 2);
  }
});

test('a tombstone after a recall that was refused, or that somebody else asked for', async () => {
  for (const [user, code] of [['alice', 'forbidden'], ['bob', 'unavailable']]) {
    const { run, alice, bob, messages: [one] } = conversation();
    const by = { alice, bob }[user];
    run.recall(by, one, { ok: false, code });
    run.end({ change: (message) => (message.seq === 1 ? gone(message) : message) });
    await broken(run, 'unrecalled');
  }
});

test('somebody else is allowed to take it back', async () => {
  const { run, bob, messages: [one] } = conversation();
  run.recall(bob, one);
  run.end();
  await broken(run, 'not theirs', 'unrecalled');
});

test('an acknowledged recall that is not in the history', async () => {
  const { run, alice, messages: [one] } = conversation();
  run.recall(alice, one);
  run.end({ change: (message) => (message.seq === 1 ? before(message) : message) });
  const [undone] = await broken(run, 'undone');
  assert.equal(undone.seq, 1);
});

test('a tombstone that has a body, as it is given and in the history', async () => {
  for (const stored of [true, false]) {
    const { run, alice, messages: [one] } = conversation();
    const tablet = run.connect('bob', 'tablet');
    run.recall(alice, one);
    run.receive(tablet, stored ? one : { ...one, body: 'body of c1' });
    run.end({ change: (message) => (stored && message.seq === 1 ? { ...message, body: 'body of c1' } : message) });
    await broken(run, 'remains');
  }
});

test('a tombstone without its place', async () => {
  const { run, alice, messages: [one] } = conversation();
  run.recall(alice, one);
  run.end({ change: (message) => (message.seq === 1 ? undefined : message) });
  await broken(run, 'hole', 'lost', 'unstored');
});

test('a device that has the body and is never told', async () => {
  for (const stays of [true, false]) {
    const { run, alice, bob, messages: [one] } = conversation();
    if (!stays) run.disconnect(bob);
    run.recall(alice, one);
    run.recalled(alice, one);
    const last = stays ? bob : run.connect('bob');
    if (!stays) run.receive(last, one, run.events.find((event) => event.is === 'receive' && event.seq === 2));
    run.drained(alice, last);
    run.end();
    const [untold] = await broken(run, 'untold');
    assert.deepEqual([untold.seq, untold.device], [1, 'bob/phone']);
  }
});

test('the device that sent it is told too', async () => {
  const { run, alice, bob, messages: [one] } = conversation();
  run.recall(alice, one);
  run.recalled(bob, one);
  run.drained(alice, bob);
  run.end();
  const [untold] = await broken(run, 'untold');
  assert.equal(untold.device, 'alice/phone');
});

test('a member of the group who has stayed is never told', async () => {
  const { run, alice, bob, message } = group();
  run.change('remove', ['carol']);
  run.recall(alice, message);
  run.recalled(alice, message);
  run.drained(alice, bob);
  run.end();
  await broken(run, 'untold');
});

test('looks untold: not answered, not drained, trimmed, without the body, or not a member any more', async () => {
  const unanswered = conversation();
  unanswered.run.call('recall', unanswered.alice, { conversation: DIRECT, seq: 1 }, { ok: null });
  unanswered.run.drained(unanswered.alice, unanswered.bob);
  unanswered.run.end();
  await holds(unanswered.run);

  const away = conversation();
  away.run.recall(away.alice, away.messages[0]);
  away.run.recalled(away.alice, away.messages[0]);
  away.run.drained(away.alice);
  away.run.end();
  await holds(away.run);

  const trimmed = conversation();
  trimmed.run.recall(trimmed.alice, trimmed.messages[0]);
  trimmed.run.drained(trimmed.alice, trimmed.bob);
  trimmed.run.end({ trimmed: 1 });
  await holds(trimmed.run);

  const late = conversation();
  late.run.recall(late.alice, late.messages[0]);
  for (const connection of [late.alice, late.bob]) late.run.recalled(connection, late.messages[0]);
  late.run.drained(late.alice, late.bob, late.run.connect('bob', 'tablet'));
  late.run.end();
  await holds(late.run);

  for (const ok of [true, null]) {
    const left = group();
    left.run.change('remove', ['bob'], ok);
    left.run.recall(left.alice, left.message);
    left.run.recalled(left.alice, left.message);
    left.run.drained(left.alice, left.bob);
    left.run.end();
    await holds(left.run);
  }
});

test('a recalled before ready', async () => {
  const { run, alice, bob, messages: [one, two] } = conversation();
  run.disconnect(bob);
  run.recall(alice, one);
  const back = run.connecting('bob');
  run.recalled(back, one);
  run.add({ is: 'ready', connection: back });
  run.receive(back, one, two);
  run.end();
  await broken(run, 'too early');
});

test('a recalled to one who was not a member', async () => {
  const { run, alice, message } = group();
  const carol = run.connect('carol');
  run.recall(alice, message);
  run.recalled(carol, message);
  run.end();
  await broken(run, 'not a member');
});

test('a recalled with another id', async () => {
  const { run, alice, bob, messages: [one] } = conversation();
  run.recall(alice, one);
  run.recalled(bob, { ...one, id: 'another' });
  run.end();
  await broken(run, 'another id');
});

function gone(message) {
  const tombstone = new Script();
  const alice = tombstone.connect('alice');
  const other = tombstone.send(alice, DIRECT, 'x');
  tombstone.recall(alice, other);
  return { ...message, body: other.body, recalled_at: other.recalled_at };
}
