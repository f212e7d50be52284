// Each message once and in order, and only what was taken is confirmed.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { load } from '../support/helper.mjs';

const { Inbox } = await load('inbox');
const { MemoryCursors } = await load('cursors');

const C = 'u:alice:bob';

function inbox(cursors = new MemoryCursors()) {
  const told = { refused: [], empty: 0 };
  const made = new Inbox(cursors, { moved: () => {}, refused: (error) => told.refused.push(error), empty: () => (told.empty += 1) });
  const got = [];
  const receive = (seq, take = () => void got.push(seq)) => made.receive(C, seq, take);
  const unconfirmed = () => made.unconfirmed(100).map((entry) => entry.seq);
  return { inbox: made, got, receive, unconfirmed, told };
}

test('each message comes once, over any number of connections', () => {
  const { receive, got, unconfirmed } = inbox();
  assert.deepEqual([1, 2, 3, 2, 3, 4].map((seq) => receive(seq)), [true, true, true, false, false, true]);
  assert.deepEqual(got, [1, 2, 3, 4]);
  assert.deepEqual(unconfirmed(), [4]);
  assert.deepEqual(unconfirmed(), [], 'confirmed once');
});

test('what comes again although it was taken is confirmed again', () => {
  const { receive, unconfirmed } = inbox();
  receive(1);
  receive(2);
  unconfirmed();
  assert.equal(receive(1), false);
  assert.deepEqual(unconfirmed(), [2]);
});

test('what the application still has in hand is not confirmed, and what follows waits', async () => {
  const { receive, got, unconfirmed } = inbox();
  let finish;
  receive(1);
  receive(2, () => new Promise((resolve) => (finish = resolve)));
  receive(3);
  assert.deepEqual([receive(2), receive(3)], [false, false], 'over another connection');
  assert.deepEqual([got, unconfirmed()], [[1], [1]]);
  finish();
  await Promise.resolve();
  assert.deepEqual([got, unconfirmed()], [[1, 3], [3]]);
});

test('what was not taken, and all after it, comes again', async () => {
  const { receive, got, unconfirmed, told, inbox: { untaken } } = inbox();
  receive(1);
  receive(2, () => Promise.reject(new Error('the disk is full')));
  receive(3);
  await Promise.resolve();
  assert.equal(told.refused.length, 1);
  receive(4);
  assert.deepEqual([got, unconfirmed(), untaken], [[1], [1], 0]);
  // The next connection.
  for (const seq of [2, 3, 4]) receive(seq);
  assert.deepEqual([got, unconfirmed()], [[1, 2, 3, 4], [4]]);
});

test('an exception is a refusal too', () => {
  const { receive, told, unconfirmed } = inbox();
  receive(1, () => {
    throw new Error('no');
  });
  assert.deepEqual([told.refused.length, unconfirmed()], [1, []]);
});

test('an own send is confirmed only where nothing is missing before it', () => {
  const { inbox: box, receive, unconfirmed } = inbox();
  box.sent(C, 1);
  assert.deepEqual(unconfirmed(), [1]);
  box.sent(C, 3);
  assert.deepEqual(unconfirmed(), [], 'another one may be under way');
  assert.equal(receive(2), true);
  assert.deepEqual(unconfirmed(), [3]);
});

test('an own send is known when it comes as a message', () => {
  const { inbox: box, receive, got, unconfirmed } = inbox();
  box.sent(C, 5);
  assert.equal(receive(5), false);
  assert.deepEqual([got, unconfirmed()], [[], [5]]);
});

test('numbers that are not meant for this device are stepped over', () => {
  const { receive, unconfirmed } = inbox();
  for (const seq of [2, 7]) receive(seq);
  assert.deepEqual(unconfirmed(), [7]);
});

test('a cursor from before spares the application what it has taken', async () => {
  for (const get of [() => 3, async () => 3]) {
    const { receive, got, unconfirmed } = inbox({ get, set: () => {} });
    for (const seq of [2, 3, 4]) receive(seq);
    for (let turn = 0; turn < 3; turn += 1) await Promise.resolve();
    assert.deepEqual([got, unconfirmed()], [[4], [4]]);
  }
});

test('a confirmation that was refused is offered again', () => {
  const { inbox: box, receive } = inbox();
  receive(1);
  const list = box.unconfirmed(100);
  box.forgetConfirmed(list);
  assert.deepEqual(box.unconfirmed(100), list);
});

test('it is bounded', () => {
  const { inbox: box, receive } = inbox();
  for (let seq = 2; seq < 5_000; seq += 1) box.sent(C, seq);
  assert.equal(receive(4_999), false, 'the newest own ones are known');
  assert.equal(box.unconfirmed(1).length, 1);
  for (let index = 0; index < 10_001; index += 1) box.receive(`g:${index}`, 1, () => undefined);
  let asked = 0;
  while (box.unconfirmed(500).length > 0) asked += 1;
  assert.equal(asked, 21);
});
