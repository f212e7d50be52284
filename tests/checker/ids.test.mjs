import assert from 'node:assert/strict';
import { test } from 'node:test';

import { checkIds } from './ids.mjs';

const call = (began, ended, first, last = first) => ({ began, ended, first: String(first), last: String(last) });
const strict = (...calls) => checkIds(calls, { strict: true });
const unique = (...calls) => checkIds(calls, { strict: false });
const rules = (report) => report.found.map(({ rule }) => rule);

test('ids that grow from call to call hold, whichever call is recorded first', () => {
  const report = strict(call(4, 5, 30), call(0, 1, 10), call(2, 3, 20, 29));
  assert.ok(report.holds, String(report));
  assert.match(String(report), /^3 records: ids are unique and in the order of the calls$/);
  assert.ok(strict().holds);
});

test('calls that overlap, or only touch, may have ids in any order', () => {
  assert.ok(strict(call(0, 10, 5), call(9, 12, 3), call(13, 14, 6)).holds);
  assert.ok(strict(call(0, 10, 5), call(10, 12, 3)).holds);
});

test('a later call with a lower id is found, but only where order is promised', () => {
  const calls = [call(0, 10, 5), call(11, 12, 4)];
  assert.deepEqual(rules(strict(...calls)), ['backwards']);
  assert.ok(unique(...calls).holds);
});

test('not only the call right before counts', () => {
  assert.deepEqual(rules(strict(call(0, 10, 90), call(0, 11, 5), call(1, 30, 200), call(12, 13, 80))), ['backwards']);
});

test('the last id of the earlier call is held against the first of the later one', () => {
  assert.deepEqual(rules(strict(call(0, 1, 5, 14), call(2, 3, 14, 20))), ['repeated', 'backwards']);
  assert.ok(strict(call(0, 1, 5, 14), call(2, 3, 15, 20)).holds);
});

test('an id that comes twice is found, also inside of a run', () => {
  assert.deepEqual(rules(unique(call(0, 10, 8), call(0, 10, 8))), ['repeated']);
  assert.deepEqual(rules(unique(call(0, 10, 5, 20), call(0, 10, 8))), ['repeated']);
  // The long run reaches beyond the one in between.
  assert.deepEqual(rules(unique(call(0, 10, 5, 20), call(0, 10, 6, 7), call(0, 10, 19, 30))), ['repeated', 'repeated']);
  assert.ok(unique(call(0, 10, 5, 7), call(0, 10, 8)).holds);
});

test('ids beyond what a number holds are told apart', () => {
  assert.ok(unique(call(0, 1, 9007199254740992n), call(0, 1, 9007199254740993n)).holds);
  assert.deepEqual(rules(strict(call(0, 1, '9007199254740993'), call(2, 3, '9007199254740992'))), ['backwards']);
});

test('what is no call is refused, and of many violations some are shown', () => {
  assert.throws(() => strict(call(2, 1, 5)), /this is no call/);
  assert.throws(() => strict(call(1, 2, 5, 4)), /this is no call/);
  assert.throws(() => strict({ began: 1, ended: 2, first: 'x', last: 'x' }));
  const report = strict(...Array.from({ length: 30 }, (_, index) => ({ ...call(index * 2, index * 2 + 1, 100 - index), node: 'idgen-1' })));
  assert.equal(report.found.length + report.more, 29);
  assert.match(String(report), /backwards: \[0, 1\] 100 \{"node":"idgen-1"\} and \[2, 3\] 99/);
  assert.match(String(report), /and 19 more/);
});
