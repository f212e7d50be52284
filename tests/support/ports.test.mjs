// Two clusters never want the same port, whichever offsets they have.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PORTS, SPAN, STEP, releaseOffset, reserveOffset } from './ports.mjs';

test('no two ports are as far apart as two offsets', () => {
  const apart = (port, other) => port < other && other - port <= SPAN && (other - port) % STEP === 0;
  const same = PORTS.flatMap((port) => PORTS.filter((other) => port === other ? false : apart(port, other)).map((other) => [port, other]));
  assert.deepEqual(same, [], 'a port was added that is in the way of another cluster: another STEP is needed');
});

test('clusters at the same time have ports of their own', async () => {
  const offsets = [];
  try {
    for (let clusters = 0; clusters < 3; clusters += 1) offsets.push(await reserveOffset());
    const ports = offsets.flatMap((offset) => PORTS.map((port) => port + offset));
    assert.equal(new Set(ports).size, ports.length);
    assert.ok(ports.every((port) => port < 65_536));
  } finally {
    offsets.forEach(releaseOffset);
  }
});
