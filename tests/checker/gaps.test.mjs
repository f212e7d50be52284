// The checker's own tests: what retention takes, and how a device learns of it.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { broken, holds } from './expect.mjs';
import { DIRECT, GROUP, Script } from './script.mjs';

/** Alice and bob, connected, and what she sent to him. */
function conversation(count = 6) {
  const run = new Script();
  const alice = run.connect('alice');
  const bob = run.connect('bob');
  const messages = Array.from({ length: count }, (_, index) => run.send(alice, DIRECT, `c${index + 1}`));
  return { run, alice, bob, messages };
}

/** Bob has confirmed the first, was away, and is back; of six the first four are gone by the end. */
function away() {
  const made = conversation();
  const { run, bob, messages } = made;
  run.receive(bob, ...messages.slice(0, 2));
  run.ack(bob, messages[0]);
  run.disconnect(bob);
  return { ...made, back: run.connect('bob') };
}

const END = { trimmed: 4, kept: 2 };

test('told of what is gone, and given the rest', async () => {
  const { run, alice, back, messages } = away();
  run.gap(back, DIRECT, 2, 4);
  run.receive(back, ...messages.slice(4));
  run.drained(alice, back);
  run.end(END);
  await holds(run);
});

test('given what was there yet, told of what went meanwhile', async () => {
  const { run, alice, back, messages } = away();
  run.receive(back, messages[1], messages[2]);
  run.gap(back, DIRECT, 4, 4);
  run.receive(back, ...messages.slice(4));
  run.drained(alice, back);
  run.end(END);
  await holds(run);
});

test('a gap that names what is still there', async () => {
  const { run, bob, messages: [one, , , four] } = conversation(4);
  run.receive(bob, one);
  run.gap(bob, DIRECT, 2, 3);
  run.receive(bob, four);
  run.end();
  await broken(run, 'false gap');
});

test('a gap that names one too many', async () => {
  const { run, back, messages } = away();
  run.gap(back, DIRECT, 2, 5);
  run.receive(back, messages[5]);
  run.end(END);
  await broken(run, 'false gap');
});

test('a gap that names one too many, which comes nevertheless', async () => {
  const { run, back, messages } = away();
  run.gap(back, DIRECT, 2, 4);
  run.receive(back, ...messages.slice(3));
  run.end(END);
  const [twice] = await broken(run, 'gap and given');
  assert.equal(twice.seq, 4);
});

test('a gap that names what a later connection is given', async () => {
  const { run, back, messages } = away();
  run.gap(back, DIRECT, 2, 4);
  run.receive(back, ...messages.slice(4));
  run.disconnect(back);
  const again = run.connect('bob');
  run.gap(again, DIRECT, 2, 3);
  run.receive(again, ...messages.slice(3));
  run.end(END);
  const [wrong] = await broken(run, 'false gap');
  assert.deepEqual([wrong.seq, wrong.connection], [4, again]);
});

test('looks false: given to a connection that was there when it went', async () => {
  const { run, alice, back, messages } = away();
  const tablet = run.connect('bob', 'tablet');
  run.gap(back, DIRECT, 2, 4);
  run.receive(tablet, ...messages);
  run.receive(back, ...messages.slice(4));
  run.drained(alice, back, tablet);
  run.end(END);
  await holds(run);
});

test('a gap that names nothing', async () => {
  const { run, back, messages } = away();
  run.gap(back, DIRECT, 2, 4);
  run.gap(back, DIRECT, 5, 4);
  run.receive(back, ...messages.slice(4));
  run.end(END);
  await broken(run, 'false gap');
});

test('a gap that names what the connection has', async () => {
  const { run, back, messages } = away();
  run.receive(back, messages[1], messages[2]);
  run.gap(back, DIRECT, 3, 4);
  run.receive(back, ...messages.slice(4));
  run.end(END);
  await broken(run, 'gap and given');
});

test('the same gap twice', async () => {
  const { run, back, messages } = away();
  run.gap(back, DIRECT, 2, 4);
  run.gap(back, DIRECT, 2, 4);
  run.receive(back, ...messages.slice(4));
  run.end(END);
  await broken(run, 'gap and given');
});

test('a gap before ready', async () => {
  const { run, bob, messages } = conversation();
  run.disconnect(bob);
  const back = run.connecting('bob');
  run.gap(back, DIRECT, 1, 4);
  run.add({ is: 'ready', connection: back });
  run.receive(back, ...messages.slice(4));
  run.end(END);
  await broken(run, 'early gap');
});

test("a gap that names others' messages", async () => {
  const run = new Script();
  const [alice, bob] = ['alice', 'bob'].map((user) => run.connect(user));
  run.change('add', ['alice']);
  const early = ['c1', 'c2'].map((cid) => run.send(alice, GROUP, cid));
  run.change('add', ['bob']);
  const [, last] = ['c3', 'c4'].map((cid) => run.send(alice, GROUP, cid));
  run.gap(bob, GROUP, early[1].seq, 3);
  run.receive(bob, last);
  run.end({ trimmed: 3 });
  const [foreign] = await broken(run, 'foreign gap');
  assert.equal(foreign.seq, 2);
  run.events.find((event) => event.is === 'gap').from_seq = 3;
  await holds(run);
});

test('no word of what was trimmed before the first that comes', async () => {
  const { run, alice, back, messages } = away();
  run.receive(back, ...messages.slice(4));
  run.drained(alice, back);
  run.end(END);
  const silent = await broken(run, 'silent');
  assert.deepEqual(silent.map(({ seq }) => seq), [2, 3, 4]);
});

test('a gap that begins too late', async () => {
  const { run, alice, back, messages } = away();
  run.gap(back, DIRECT, 3, 4);
  run.receive(back, ...messages.slice(4));
  run.drained(alice, back);
  run.end(END);
  const [silent] = await broken(run, 'silent');
  assert.equal(silent.seq, 2);
});

test('a gap that ends too early', async () => {
  const { run, back, messages } = away();
  run.gap(back, DIRECT, 2, 3);
  run.receive(back, ...messages.slice(4));
  run.end(END);
  const [silent] = await broken(run, 'silent');
  assert.equal(silent.seq, 4);
});

test('no word at all, and nothing is left', async () => {
  for (const came of [0, 1]) {
    const { run, alice, back, messages } = away();
    run.receive(back, ...messages.slice(1, 1 + came));
    run.drained(alice, back);
    run.end({ trimmed: 6 });
    const silent = await broken(run, 'silent');
    assert.deepEqual(silent.map(({ seq }) => seq), [2, 3, 4, 5, 6].slice(came));
  }
});

test('what is left after a gap must come', async () => {
  const { run, alice, back, messages } = away();
  run.gap(back, DIRECT, 2, 4);
  run.receive(back, messages[4]);
  run.drained(alice, back);
  run.end(END);
  await broken(run, 'undelivered', 'unresumed');
});

test('retention takes what it had to leave', async () => {
  const { run, alice, back, messages } = away();
  run.gap(back, DIRECT, 2, 4);
  run.receive(back, ...messages.slice(4));
  run.drained(alice, back);
  run.end({ trimmed: 4, kept: 3 });
  await broken(run, 'overtrimmed');
});

test("looks silent: confirmed, one's own, or sent before the device was there", async () => {
  const { run, alice, bob, messages } = conversation();
  run.receive(bob, ...messages);
  run.ack(bob, messages[3]);
  run.disconnect(bob);
  const back = run.connect('bob');
  run.receive(back, ...messages.slice(4));
  const tablet = run.connect('bob', 'tablet');
  const first = run.send(tablet, 'u:bob:carol', 'd1');
  const last = run.send(back, 'u:bob:carol', 'd2');
  run.receive(tablet, last);
  run.receive(back, first);
  run.drained(alice, back, tablet);
  run.end({ trimmed: 0 });
  for (const event of run.events) if (event.is === 'history') event.trimmed = event.conversation === DIRECT ? 4 : 1;
  await holds(run);
});

test("looks skipped: one's own that was not answered, and that retention took after somebody had it", async () => {
  const { run, alice, bob } = conversation(0);
  const one = run.send(bob, DIRECT, 'd1');
  const own = run.store(run.sending(alice, DIRECT, 'c1'));
  const three = run.send(bob, DIRECT, 'd2');
  run.receive(bob, own);
  run.receive(alice, one, three);
  run.drained(bob);
  run.end({ trimmed: 2 });
  await holds(run);
});

test('looks stored twice: a repetition of what retention has taken', async () => {
  const { run, alice, bob, messages } = conversation(2);
  run.receive(bob, ...messages);
  const again = run.send(alice, DIRECT, 'c1');
  run.receive(bob, again);
  run.drained(alice, bob);
  run.end({ trimmed: 1 });
  await holds(run);
  run.events.at(-1).trimmed = 0;
  await broken(run, 'duplicate', 'hole', 'lost', 'two answers', 'unstored');
});
