// docs/protocol.md tells the truth: its examples run from top to bottom and give what they say; it names every code and every event,
// and none that does not exist.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite as describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';

import { io } from 'socket.io-client';

import { ANSWER_MS } from '../support/client.mjs';
import { assertShape, program } from '../support/examples.mjs';
import { ROOT } from '../support/process.mjs';
import { withCluster } from '../support/suite.mjs';
import { within } from '../support/wait.mjs';

const read = (path) => readFileSync(join(ROOT, path), 'utf8');
const document = read('docs/protocol.md');

/** What matches, sorted, each once. */
const all = (text, pattern) => [...new Set([...text.matchAll(pattern)].map((match) => match[1]))].sort();

describe('the examples', () => {
  const suite = withCluster();

  test('run from top to bottom and give what they say', async (t) => {
    const { cluster } = suite;
    await cluster.stat('PUT', '/v1/groups/team', { open: true });
    await cluster.stat('PUT', '/v1/groups/team/members', { users: ['carol'] });
    const { text, count } = program(document);
    assert.ok(count > 30, `${count} arrows`);

    // One line of its own names, so that its lines stay those of the document.
    const names = 'const { io, ticketUrl, tokenOf, check } = globalThis.example;';
    const place = join(ROOT, 'tests', '.build', `protocol-${process.pid}.mjs`);
    mkdirSync(join(place, '..'), { recursive: true });
    writeFileSync(place, `${names} ${text}`);
    t.after(() => rmSync(place, { force: true }));
    const sockets = [];
    t.after(() => sockets.forEach((socket) => socket.disconnect()));
    let checked = 0;
    globalThis.example = {
      io: (...options) => {
        const socket = io(...options);
        sockets.push(socket);
        return socket;
      },
      ticketUrl: cluster.ticketUrl,
      tokenOf: (user, scope) => cluster.token(user, { scope }),
      check: (line, value, shape) => {
        checked += 1;
        assertShape(value, shape, `docs/protocol.md:${line}`);
      },
    };
    await within(import(pathToFileURL(place)), 3 * ANSWER_MS, `the examples: ${checked} of ${count} arrows`);
    assert.equal(checked, count);
  });
});

test('every code stands in the table of codes, and no other', () => {
  const codes = all(read('wire/src/code.rs'), /=> "([a-z_]+)"/g);
  assert.ok(codes.length > 15);
  const [chapter] = document.match(/^## 7\. Codes$[^]*?^## /m);
  assert.deepEqual(all(chapter, /^\| `([a-z_]+)` \|/gm), codes);
});

test('every event that a spear takes has an example', () => {
  const [table] = read('spear/src/events/mod.rs').match(/const EVENTS\b[^]*?\n\];/);
  const events = all(table, /\("([a-z]+)",/g);
  assert.ok(events.length >= 4);
  assert.deepEqual(all(document, /emitWithAck\("([a-z]+)"/g).filter((event) => events.includes(event)), events);
});

test('every event that a spear tells is described', () => {
  const sources = readdirSync(join(ROOT, 'spear', 'src'), { recursive: true }).filter((name) => name.endsWith('.rs'));
  const told = all(sources.map((name) => read(`spear/src/${name}`)).join('\n'), /Frame::event\(\s*"([a-z]+)"/g);
  assert.ok(told.includes('ready') && told.includes('migrate'));
  for (const event of told) assert.match(document, new RegExp(`\`${event}\``), event);
});
