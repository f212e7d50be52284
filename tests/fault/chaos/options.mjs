// What the command line says, or the one sentence that says why it says nothing.

import { parseArgs } from 'node:util';

import { randomSeed } from '../../workload/run.mjs';
import { lanesOf } from './draws.mjs';
import { KINDS } from './kinds.mjs';

const FAULTS = 100;
const text = { type: 'string' };
const list = { ...text, multiple: true };
const flag = { type: 'boolean', default: false };
const OPTIONS = {
  seed: text, faults: text, minutes: text, only: list, without: list, set: list, keep: flag, strict: flag, help: { ...flag, short: 'h' },
};

/** A command line that cannot be followed. The message is for whoever wrote it. */
export class Refused extends Error {}

/** Answers the options of `chaos` (run.mjs), or `{help: true}`; throws Refused. */
export function parse(args) {
  if (args.some((argument) => argument === '--help' || argument === '-h')) return { help: true };
  const { values } = parsed(args);
  const [only, without] = [names(values.only), names(values.without)];
  for (const name of [...only, ...without]) {
    if (!Object.hasOwn(KINDS, name)) throw new Refused(`there is no kind ${name}; there is: ${Object.keys(KINDS).join(' ')}`);
  }
  if (lanesOf({ only, without }).length === 0) throw new Refused('--only and --without leave no kind of fault');
  const seed = values.seed === undefined ? randomSeed() : number('seed', values.seed, /^\d+$/, 'a whole number');
  const minutes = values.minutes === undefined ? Infinity : number('minutes', values.minutes, /^\d*\.?\d+$/, 'a number above 0', 0);
  const most = minutes < Infinity ? Infinity : FAULTS;
  const faults = values.faults === undefined ? most : number('faults', values.faults, /^\d+$/, 'a whole number above 0', 0);
  return { seed, faults, minutes, only, without, strict: values.strict, keep: values.keep, env: Object.fromEntries((values.set ?? []).map(setting)) };
}

function parsed(args) {
  try {
    return parseArgs({ args, options: OPTIONS });
  } catch (error) {
    if (!String(error.code).startsWith('ERR_PARSE_ARGS')) throw error;
    // What follows the first sentence is advice about anything.
    throw new Refused(error.message.split(/\.\s|\n/)[0].replace(/\.$/, ''));
  }
}

function names(lists = []) {
  return lists.flatMap((each) => each.split(','));
}

function number(option, value, form, what, above = -Infinity) {
  if (!form.test(value) || !(Number(value) > above) || !(Number(value) <= Number.MAX_SAFE_INTEGER)) {
    throw new Refused(`--${option} is ${what}, not ${JSON.stringify(value)}`);
  }
  return Number(value);
}

function setting(each) {
  const [, name, value] = /^([^=]+)=(.*)$/s.exec(each) ?? [];
  if (name === undefined) throw new Refused(`--set is NAME=VALUE, not ${JSON.stringify(each)}`);
  return [name, value];
}
