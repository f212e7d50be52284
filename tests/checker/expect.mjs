// What a test expects of the checker.

import assert from 'node:assert/strict';

/** Nothing is found. */
export async function holds(script) {
  const report = await script.check();
  assert.ok(report.holds, String(report));
}

/** The rules that are broken, each once, sorted. */
export async function rules(script) {
  return [...(await script.check()).counts.keys()].sort();
}

/** Exactly these rules are broken; answers the violations, those of the first rule first. Each shows lines of the history. */
export async function broken(script, ...expected) {
  const report = await script.check();
  assert.deepEqual([...report.counts.keys()].sort(), [...expected].sort(), String(report));
  for (const violation of report.violations) {
    assert.ok(violation.conversation, 'where it happened is named');
    if (!['rooms', 'signals'].includes(violation.promise)) assert.ok(violation.seq !== undefined, 'and which message');
    assert.ok(violation.evidence.length > 0, 'there is evidence');
    for (const { line, ...event } of violation.evidence) assert.deepEqual(event, script.events[line - 1]);
  }
  assert.match(String(report), new RegExp(`promise ([123]|[a-z]+), ${expected[0]}: `));
  return report.violations.sort((a, b) => (b.rule === expected[0]) - (a.rule === expected[0]));
}
