import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { Ids } from './ids.mjs';

/** Reads rounds of events, each a list; answers what is wrong in the last one, and the Ids. */
async function read(rounds, { strict = false } = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'phalanx-ids-'));
  const ids = new Ids({ strict });
  try {
    let wrong;
    for (const [index, events] of rounds.entries()) {
      const path = join(directory, `round-${index + 1}.jsonl`);
      writeFileSync(path, events.map((event) => `${JSON.stringify(event)}\n`).join(''));
      wrong = await ids.read(path);
    }
    return { ...wrong, ids };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

let calls = 0;
function send(seq, id, more = {}) {
  calls += 1;
  return [{ is: 'send', call: calls, conversation: 'd:a:b' }, { is: 'sent', call: calls, ok: true, seq, id, ...more }];
}
function say(mark, id) {
  calls += 1;
  return [{ is: 'say', call: calls, room: 'lobby', mark }, { is: 'answer', call: calls, ok: true, id }];
}
const hear = (mark, id) => ({ is: 'hear', room: 'lobby', id, mark });
const stored = (seq, id) => ({ is: 'stored', conversation: 'd:a:b', seq, id });

test('ids that each stand for one message hold, whoever is told them how often', async () => {
  const sent = [...send(1, '10'), ...send(1, '10', { duplicate: true }), stored(1, '10')];
  const { twice, backwards, ids } = await read([[...sent, ...say('0-1', '11'), hear('0-1', '11'), hear('0-1', '11')]]);
  assert.deepEqual([twice, backwards, ids.count], [[], [], 2]);
});

test('an id of a room message that stands for another one too is found', async () => {
  assert.equal((await read([[...say('0-1', '11'), ...send(1, '11')]])).twice.length, 1);
  assert.equal((await read([[...say('0-1', '11'), ...say('0-2', '11')]])).twice.length, 1);
  assert.equal((await read([[...say('0-1', '11'), stored(1, '11')]])).twice.length, 1);
  // Nobody was answered.
  assert.equal((await read([[hear('0-1', '11'), hear('0-2', '11')]])).twice.length, 1);
});

test('also over rounds, in which marks come again', async () => {
  assert.equal((await read([send(1, '10'), send(2, '10')])).twice.length, 1);
  assert.equal((await read([say('0-1', '11'), say('0-1', '11')])).twice.length, 1);
});

test('one message that two calls were told is new is found', async () => {
  const { twice } = await read([[...send(1, '10'), ...send(1, '10')]]);
  assert.deepEqual(twice, ['id 10 answered twice: d:a:b 1, d:a:b 1']);
});

test('order counts where it is promised, and many repeats do not hide it', async () => {
  const events = [...send(1, '90'), ...say('0-1', '50')];
  assert.deepEqual((await read([events])).backwards, []);
  assert.deepEqual((await read([events], { strict: true })).backwards, ['id 50 after 90']);
  assert.deepEqual((await read([send(1, '90'), send(2, '50')], { strict: true })).backwards, ['id 50 after 90']);
  const repeats = Array.from({ length: 20 }, () => [...send(1, '90'), ...send(1, '90')]).flat();
  const { twice, backwards } = await read([[...repeats, ...send(2, '50')]], { strict: true });
  assert.equal(twice.length, 1);
  assert.ok(backwards.includes('id 50 after 90'));
});
