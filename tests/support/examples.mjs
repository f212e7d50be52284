// The examples of docs/protocol.md as a program: each `js` block in its place, so that line numbers are those of the document, and
// after each `// →` a look whether the statement before it gave that.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { join } from 'node:path';

import { ROOT } from './process.mjs';

const ts = createRequire(join(ROOT, 'minions-ui', 'web', 'package.json'))('typescript');

const ARROW = /^\/\/ → /;

/**
 * The program. `check(line, value, shape)` is called for each `// →`, with the shape's text.
 *
 * @param {string} markdown the document
 */
export function program(markdown) {
  const lines = markdown.split('\n');
  let inside = false;
  const code = lines.map((line) => {
    if (line.startsWith('```')) {
      inside = !inside && line === '```js';
      return '';
    }
    return inside ? line : '';
  });
  const shapes = shapesIn(code);
  const source = ts.createSourceFile('examples.js', code.join('\n'), ts.ScriptTarget.Latest, true, ts.ScriptKind.JS);
  const edits = source.statements.flatMap((statement) => {
    const end = source.getLineAndCharacterOfPosition(statement.getEnd()).line;
    const shape = shapes.get(end + 1);
    shapes.delete(end + 1);
    return shape === undefined ? [] : [checked(statement, source, `${end + 2}`, shape)];
  });
  assert.deepEqual([...shapes.keys()].map((line) => line + 1), [], 'each arrow follows a statement');
  let text = source.text;
  for (const [start, end, replacement] of edits.reverse()) text = text.slice(0, start) + replacement + text.slice(end);
  return { text, count: edits.length };
}

/** The line (from 0) of each arrow → the text of its shape, which may go on over lines of comment. */
function shapesIn(code) {
  const shapes = new Map();
  code.forEach((line, number) => {
    if (!ARROW.test(line)) return;
    let text = line.replace(ARROW, '');
    for (let next = number + 1; code[next]?.startsWith('//   '); next += 1) text += ` ${code[next].slice(2).trim()}`;
    shapes.set(number, text);
  });
  return shapes;
}

/** The statement with a check of what it gives, on as many lines. */
function checked(statement, source, line, shape) {
  const check = (value) => `check(${line}, ${value}, ${JSON.stringify(shape)});`;
  if (ts.isExpressionStatement(statement)) {
    return [statement.getStart(source), statement.getEnd(), check(statement.expression.getText(source))];
  }
  const [declaration] = ts.isVariableStatement(statement) ? statement.declarationList.declarations : [];
  assert.ok(declaration, `line ${line}: the arrow follows a value`);
  return [statement.getEnd(), statement.getEnd(), ` ${check(declaration.name.getText(source))}`];
}

const ANY = Symbol('…');

/** From here on a number is a time: then any time will do. */
const TIMES = 1e12;

/**
 * Compares a value with a shape: the same fields and the same values, save times, and what `…` stands for: any value, the rest of a
 * text, further fields, further entries.
 */
export function assertShape(value, text, where) {
  const expression = text.replaceAll(/"[^"]*"|…/g, (part) => (part === '…' ? '$any' : part)).replaceAll('{$any}', '{ $any }');
  const shape = new Function('$any', `return (${expression});`)(ANY);
  compare(value, shape, where);
}

function compare(value, shape, where) {
  if (shape === ANY) return;
  if (typeof shape === 'string' && shape.includes('…')) {
    assert.equal(typeof value, 'string', where);
    const [start, end] = shape.split('…');
    assert.ok(value.length > 0 && value.startsWith(start) && value.endsWith(end), `${where}: ${value} is not ${shape}`);
  } else if (typeof shape === 'number' && shape >= TIMES) {
    assert.ok(Number.isInteger(value) && value >= TIMES, `${where}: ${value} is no time`);
  } else if (Array.isArray(shape)) {
    assert.ok(Array.isArray(value), `${where}: ${JSON.stringify(value)} is no list`);
    if (shape.includes(ANY)) return;
    assert.equal(value.length, shape.length, `${where}: ${JSON.stringify(value)}`);
    shape.forEach((entry, index) => compare(value[index], entry, `${where}[${index}]`));
  } else if (typeof shape === 'object' && shape !== null) {
    assert.ok(typeof value === 'object' && value !== null, `${where}: ${JSON.stringify(value)} is no object`);
    const { $any, ...fields } = shape;
    if ($any === undefined) assert.deepEqual(Object.keys(value).sort(), Object.keys(fields).sort(), `${where}: ${JSON.stringify(value)}`);
    for (const [name, field] of Object.entries(fields)) compare(value[name], field, `${where}.${name}`);
  } else {
    assert.deepEqual(value, shape, where);
  }
}
