import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Verdict } from './verdict.mjs';

const NOTHING_WRONG = { twice: [], backwards: [] };
const report = (counts = {}) => ({ holds: Object.keys(counts).length === 0, counts: new Map(Object.entries(counts)) });

function verdict({ faults = 40, acknowledged = 100, broken, wrong = NOTHING_WRONG, ...more } = {}) {
  const made = Object.assign(new Verdict(7, '/somewhere'), { faults, rounds: 1, ...more });
  made.add({ acknowledged }, report(broken), wrong);
  return made;
}

test('what holds ends with 0', () => {
  const made = verdict();
  assert.ok(made.isClean);
  assert.equal(made.exitCode, 0);
  assert.match(String(made), /^lost 0, duplicated 0, reordered 0\nall promises hold$/m);
});

test('what is refuted ends with 1 and says where the histories are', () => {
  for (const made of [
    verdict({ broken: { lost: 2 } }),
    verdict({ wrong: { twice: ['id 5 given twice'], backwards: [] } }),
    verdict({ wrong: { twice: [], backwards: ['id 4 after 5'] } }),
    verdict({ broken: { lost: 2 }, interrupted: true }),
  ]) {
    assert.equal(made.exitCode, 1);
    assert.match(String(made), /\nREFUTED\n.*: \/somewhere$/);
  }
});

test('a process that ended by itself fails the run, and is named', () => {
  const made = verdict({ ended: [{ name: 'spear-2', end: { code: 101, signal: null }, at: '2026-11-21T12:00:00.000Z' }] });
  assert.equal(made.exitCode, 1);
  assert.match(String(made), /^ended by itself: spear-2 \{"code":101,"signal":null\}, at 2026-11-21T12:00:00\.000Z$/m);
  assert.match(String(made), /^FAILED: /m);
  assert.doesNotMatch(String(made), /all promises hold/);
});

test('without a fault, or without an acknowledgement, nothing is proven', () => {
  const empty = [[verdict({ faults: 0 }), /no fault/], [verdict({ acknowledged: 0 }), /acknowledged no send/], [new Verdict(1, '/x'), /no fault/]];
  for (const [made, why] of empty) {
    assert.equal(made.exitCode, 2);
    assert.match(String(made), why);
    assert.doesNotMatch(String(made), /all promises hold/);
  }
});

test('a run that was interrupted, or broke off, says so, and does not pass for a whole one', () => {
  for (const [what, code, said] of [['interrupted', 130, 'interrupted'], ['broke', 2, 'broken off']]) {
    const made = verdict({ [what]: true });
    assert.equal(made.exitCode, code);
    assert.ok(String(made).includes(`40 faults in 1 round, ${said}\n`));
    assert.ok(String(made).includes(`\nno promise is refuted so far, ${said}\n`));
    assert.match(String(made), /: \/somewhere$/);
    assert.doesNotMatch(String(made), /all promises hold/);
  }
});
