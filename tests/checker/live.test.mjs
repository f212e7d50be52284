// The checker's own tests: rooms and signals.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { broken, holds } from './expect.mjs';
import { Script } from './script.mjs';

const LOBBY = { room: 'lobby' };

/** Alice and bob, connected to one node, both in the lobby. */
function lobby() {
  const run = new Script();
  const [alice, bob] = ['alice', 'bob'].map((user) => run.connect(user, 'phone', 'spear-1'));
  for (const connection of [alice, bob]) run.call('enter', connection, LOBBY);
  const say = (connection, mark, answer = { id: `id of ${mark}` }) => run.call('say', connection, { ...LOBBY, mark }, answer);
  const hear = (connection, mark, more = {}) =>
    run.add({ is: 'hear', connection, room: 'lobby', id: `id of ${mark}`, from: 'alice', mark, ...more });
  return { run, alice, bob, say, hear };
}

/** Alice signals; bob, connected to the same node, gets what a test gives him. */
function signals() {
  const run = new Script();
  const [alice, bob] = ['alice', 'bob'].map((user) => run.connect(user, 'phone', 'spear-1'));
  const signal = (to, mark, answer) => run.call('signal', alice, { to, mark }, answer);
  const sign = (connection, to, mark, more = {}) => run.add({ is: 'sign', connection, to, from: 'alice', mark, ...more });
  return { run, alice, bob, signal, sign };
}

test('what is said in a room may be heard, or not', async () => {
  const { run, alice, bob, say, hear } = lobby();
  for (const mark of ['one', 'two', 'three']) say(alice, mark);
  hear(bob, 'one');
  hear(bob, 'three');
  run.drained(alice, bob);
  await holds(run);
});

test('heard twice on one connection', async () => {
  const { run, alice, bob, say, hear } = lobby();
  say(alice, 'one');
  hear(bob, 'one');
  hear(bob, 'one');
  const [again] = await broken(run, 'again');
  assert.deepEqual([again.conversation, again.device, again.promise], ['r:lobby', 'bob/phone', 'rooms']);
});

test('heard by one who never was in the room', async () => {
  const { run, alice, say, hear } = lobby();
  const carol = run.connect('carol');
  run.call('enter', carol, { room: 'hall' });
  run.call('enter', carol, LOBBY, { ok: false });
  say(alice, 'one');
  hear(carol, 'one');
  await broken(run, 'outsider');
});

test('heard before one has joined', async () => {
  const { run, alice, say, hear } = lobby();
  const carol = run.connect('carol');
  say(alice, 'one');
  hear(carol, 'one');
  run.call('enter', carol, LOBBY);
  await broken(run, 'outsider');
});

test('heard by one who had left', async () => {
  const { run, alice, bob, say, hear } = lobby();
  run.call('exit', bob, LOBBY);
  say(alice, 'one');
  hear(bob, 'one');
  const [outsider] = await broken(run, 'outsider');
  assert.equal(outsider.connection, bob);
});

test('heard on the next connection, which has not joined', async () => {
  const { run, alice, bob, say, hear } = lobby();
  run.disconnect(bob);
  const back = run.connect('bob', 'phone', 'spear-1');
  say(alice, 'one');
  hear(back, 'one');
  await broken(run, 'outsider');
});

test('looks outside: left after it was said, perhaps not left, back again, or joined meanwhile', async () => {
  const leaving = lobby();
  leaving.say(leaving.alice, 'one');
  leaving.run.call('exit', leaving.bob, LOBBY);
  leaving.hear(leaving.bob, 'one');
  await holds(leaving.run);

  for (const answer of [{ ok: null }, { ok: false, code: 'not_member' }, { ok: false, code: 'unavailable' }]) {
    const staying = lobby();
    staying.run.call('exit', staying.bob, LOBBY, answer);
    staying.say(staying.alice, 'one');
    staying.hear(staying.bob, 'one');
    await holds(staying.run);
  }

  const back = lobby();
  back.run.call('exit', back.bob, LOBBY);
  back.say(back.alice, 'one');
  back.run.call('enter', back.bob, LOBBY);
  back.hear(back.bob, 'one');
  await holds(back.run);

  // Both are under way at once: nobody knows which one came last.
  const { run, alice, bob, say, hear } = lobby();
  run.add({ is: 'exit', call: 'x', connection: bob, ...LOBBY });
  run.add({ is: 'enter', call: 'e', connection: bob, ...LOBBY });
  run.add({ is: 'answer', call: 'e', ok: true });
  run.add({ is: 'answer', call: 'x', ok: true });
  say(alice, 'one');
  hear(bob, 'one');
  await holds(run);
});

test('heard in another order than said', async () => {
  const { run, alice, bob, say, hear } = lobby();
  for (const mark of ['one', 'two']) say(alice, mark);
  hear(bob, 'two');
  hear(bob, 'one');
  await broken(run, 'out of turn');
});

test('looks out of turn: on another node, of two connections, in two rooms, or a signal', async () => {
  const { run, alice, say, hear } = lobby();
  const far = run.connect('carol', 'phone', 'spear-2');
  const tablet = run.connect('alice', 'tablet', 'spear-1');
  const near = run.connect('dave', 'phone', 'spear-1');
  for (const connection of [far, tablet, near]) run.call('enter', connection, LOBBY);
  for (const connection of [alice, near]) run.call('enter', connection, { room: 'hall' });
  say(alice, 'one');
  say(alice, 'two');
  say(tablet, 'three');
  run.call('say', alice, { room: 'hall', mark: 'four' }, { id: 'id of four' });
  for (const mark of ['two', 'one']) hear(far, mark);
  hear(near, 'four', { room: 'hall' });
  run.call('signal', alice, { to: LOBBY, mark: 'five' });
  run.add({ is: 'sign', connection: near, to: LOBBY, from: 'alice', mark: 'five' });
  for (const mark of ['three', 'one', 'two']) hear(near, mark);
  await holds(run);
});

test('heard before ready', async () => {
  const { run, alice, say } = lobby();
  const carol = run.connecting('carol');
  run.call('enter', carol, LOBBY);
  say(alice, 'one');
  run.add({ is: 'hear', connection: carol, room: 'lobby', id: 'id of one', from: 'alice', mark: 'one' });
  run.add({ is: 'ready', connection: carol });
  await broken(run, 'too soon');
});

test('heard what nobody has said, or somebody else, or elsewhere', async () => {
  for (const [mark, more] of [['two', {}], ['one', { from: 'mallory' }], ['one', { room: 'hall' }]]) {
    const { run, alice, bob, say, hear } = lobby();
    say(alice, 'one');
    run.call('enter', bob, { room: 'hall' });
    hear(bob, mark, more);
    await broken(run, 'unsaid');
  }
});

test('heard what was refused', async () => {
  const { run, alice, bob, say, hear } = lobby();
  say(alice, 'one', { ok: false, code: 'not_member' });
  hear(bob, 'one');
  await broken(run, 'refused');
});

test('looks refused: unavailable, or without an answer', async () => {
  for (const answer of [{ ok: false, code: 'unavailable' }, { ok: null }]) {
    const { run, alice, bob, say, hear } = lobby();
    say(alice, 'one', answer);
    hear(bob, 'one');
    await holds(run);
  }
});

test('heard by the connection that said it', async () => {
  const { run, alice, say, hear } = lobby();
  say(alice, 'one');
  hear(alice, 'one');
  await broken(run, 'own');
});

test("looks one's own: on another connection of the same user", async () => {
  const { run, alice, say, hear } = lobby();
  const tablet = run.connect('alice', 'tablet', 'spear-1');
  run.call('enter', tablet, LOBBY);
  say(alice, 'one');
  hear(tablet, 'one');
  await holds(run);
});

test('heard with another id than was answered, or than somebody else heard', async () => {
  const answered = lobby();
  answered.say(answered.alice, 'one');
  answered.hear(answered.bob, 'one', { id: 'another' });
  await broken(answered.run, 'two ids');

  const { run, alice, bob, say, hear } = lobby();
  const carol = run.connect('carol');
  run.call('enter', carol, LOBBY);
  say(alice, 'one', { ok: null });
  hear(bob, 'one');
  hear(carol, 'one', { id: 'another' });
  await broken(run, 'two ids');
});

test('a signal that comes to whom it was sent', async () => {
  const { run, alice, bob, signal, sign } = signals();
  const tablet = run.connect('alice', 'tablet');
  run.change('add', ['bob']);
  signal({ user: 'bob' }, 'one');
  signal({ group: 'team' }, 'two');
  signal({ user: 'alice' }, 'three');
  sign(bob, { user: 'bob' }, 'one');
  sign(bob, { group: 'team' }, 'two');
  sign(tablet, { user: 'alice' }, 'three');
  run.drained(alice, bob);
  await holds(run);
});

test('a signal to somebody else, or to a group of others', async () => {
  for (const to of [{ user: 'carol' }, { group: 'team' }, LOBBY]) {
    const { run, bob, signal, sign } = signals();
    run.change('add', ['carol']);
    run.change('add', ['bob'], false);
    signal(to, 'one');
    sign(bob, to, 'one');
    const [outsider] = await broken(run, 'outsider');
    assert.equal(outsider.promise, 'signals');
  }
});

test('a signal twice, out of turn, before ready, to its own connection, refused, or that nobody sent', async () => {
  const to = { user: 'bob' };
  const twice = signals();
  twice.signal(to, 'one');
  for (let count = 0; count < 2; count += 1) twice.sign(twice.bob, to, 'one');
  await broken(twice.run, 'again');

  const turned = signals();
  for (const mark of ['one', 'two']) turned.signal(to, mark);
  for (const mark of ['two', 'one']) turned.sign(turned.bob, to, mark);
  await broken(turned.run, 'out of turn');

  const early = signals();
  const back = early.run.connecting('bob');
  early.signal(to, 'one');
  early.sign(back, to, 'one');
  await broken(early.run, 'too soon');

  const own = signals();
  own.signal({ user: 'alice' }, 'one');
  own.sign(own.alice, { user: 'alice' }, 'one');
  await broken(own.run, 'own');

  const refused = signals();
  refused.signal(to, 'one', { ok: false, code: 'rate_limited' });
  refused.sign(refused.bob, to, 'one');
  await broken(refused.run, 'refused');

  const unsaid = signals();
  unsaid.sign(unsaid.bob, to, 'one');
  await broken(unsaid.run, 'unsaid');

  // A message of a room is no signal.
  const other = signals();
  other.run.call('enter', other.bob, LOBBY);
  other.run.call('say', other.alice, { ...LOBBY, mark: 'one' });
  other.sign(other.bob, LOBBY, 'one');
  await broken(other.run, 'unsaid');
});
