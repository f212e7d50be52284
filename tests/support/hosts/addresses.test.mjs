import assert from 'node:assert/strict';
import { test } from 'node:test';

import { linkOf, namespaceOf, ownerOf, subnetFor, whyTaken } from './addresses.mjs';

const USUAL = [
  { dst: 'default', gateway: '192.0.2.1', dev: 'eth0' },
  { dst: '10.0.0.0/8', dev: 'eth1' },
  { dst: '172.17.0.0/16', dev: 'docker0' },
  { dst: '198.17.255.0/24', dev: 'eth2' },
  { dst: '198.20.0.0/16', dev: 'eth3' },
  { type: 'local', dst: '127.0.0.1', dev: 'lo' },
];

test('usual networks, and default routes, are in nobody\'s way', () => {
  assert.equal(whyTaken(USUAL), undefined);
  assert.equal(whyTaken([{ dst: '0.0.0.0/1', dev: 'tun0' }, { dst: '128.0.0.0/1', dev: 'tun0' }]), undefined);
  assert.equal(whyTaken([]), undefined);
  assert.equal(whyTaken([{ dst: '198.18.3.254', dev: 'if41' }]), undefined, 'a link that is gone');
});

test('a route to these addresses, or to more or some of them, is named', () => {
  for (const dst of ['198.18.0.0/15', '198.18.3.0/24', '198.19.255.255', '198.0.0.0/8', '198.19.0.0/16']) {
    const why = whyTaken([...USUAL, { dst, dev: 'eth9' }]);
    assert.equal(why, `this machine has a route to ${dst} by eth9, and the hosts' addresses are of 198.18.0.0/15`);
  }
  assert.match(whyTaken([{ type: 'blackhole', dst: '198.18.0.0/15' }]), /a route to 198\.18\.0\.0\/15, and/);
});

test('tests beside one another have other subnets', () => {
  assert.equal(subnetFor(0, USUAL), '198.18.0');
  assert.equal(subnetFor(511, USUAL), '198.19.255');
  assert.equal(subnetFor(512 + 300, USUAL), '198.19.44');
  const beside = [{ dst: '198.19.255.0/24', dev: linkOf(511) }, { type: 'local', dst: '198.19.255.254', dev: linkOf(511) }];
  assert.equal(whyTaken(beside), undefined);
  assert.equal(subnetFor(1023, beside), '198.18.0');
  const all = Array.from({ length: 512 }, (_, at) => ({ dst: `198.${18 + (at >> 8)}.${at & 255}.0/24`, dev: linkOf(at) }));
  assert.throws(() => subnetFor(1, all), /in use by other tests/);
});

test('only what a test has made is a test\'s', () => {
  for (const name of ['switch', 'outside', 'a', 'f']) assert.equal(ownerOf(namespaceOf(4711, name)), 4711);
  const others = ['phx', 'phx-', 'phx-prod', 'phx-prod-web', 'phx-12', 'phx-12-', 'phx-12-web1', 'phx-12-A', 'phx-12-a-b', 'phx-1x-a', 'aphx-1-a'];
  for (const name of others) {
    assert.equal(ownerOf(name), undefined, name);
  }
  assert.throws(() => namespaceOf(1, 'web1'), /lower-case/);
});
