import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Refused, parse } from './options.mjs';

const refused = (...args) => {
  try {
    parse(args);
  } catch (error) {
    assert.ok(error instanceof Refused, error.stack);
    assert.doesNotMatch(error.message, /\n/);
    return error.message;
  }
  return assert.fail(`taken: ${args.join(' ')}`);
};

test('what is said is taken', () => {
  const options = parse(['--seed', '7', '--faults', '20', '--only', 'kill,freeze', '--only', 'loss', '--strict', '--set', 'A=b=c', '--set', 'B=']);
  assert.deepEqual(options, {
    seed: 7, faults: 20, minutes: Infinity, only: ['kill', 'freeze', 'loss'], without: [], strict: true, keep: false, env: { A: 'b=c', B: '' },
  });
});

test('without a bound it is 100 faults, with minutes as many as there is time for', () => {
  assert.equal(parse([]).faults, 100);
  assert.deepEqual([parse(['--minutes', '.5']).faults, parse(['--minutes', '.5']).minutes], [Infinity, 0.5]);
  assert.ok(Number.isInteger(parse([]).seed));
});

test('help is given wherever it is asked for', () => {
  for (const args of [['--help'], ['--seed', '7', '-h'], ['--nonsense', '--help']]) assert.deepEqual(parse(args), { help: true });
});

test('what cannot be followed is refused in a sentence', () => {
  assert.match(refused('--nonsense'), /'--nonsense'/);
  assert.match(refused('seven'), /'seven'/);
  assert.match(refused('--seed'), /--seed/);
  assert.match(refused('--seed', '--faults'), /--seed/);
  assert.match(refused('--keep=yes'), /--keep/);
  for (const seed of ['x', '', '1.5', '-1', '99999999999999999999']) assert.match(refused(`--seed=${seed}`), /--seed is a whole number/);
  for (const faults of ['0', '-1', 'many', '2.5']) assert.match(refused(`--faults=${faults}`), /--faults is a whole number above 0/);
  for (const minutes of ['0', '0.0', '1e3', 'x']) assert.match(refused(`--minutes=${minutes}`), /--minutes is a number above 0/);
  assert.match(refused('--only', 'kil'), /no kind kil;.* kill /);
  assert.match(refused('--only', 'kill', '--without', 'kill'), /leave no kind/);
  for (const set of ['PHALANX__REDIS__WAIT_REPLICAS', '=1']) assert.match(refused('--set', set), /--set is NAME=VALUE/);
});
