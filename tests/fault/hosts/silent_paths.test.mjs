// Given paths that fall silent without a word (no RST, no ICMP), then each is found and left for another one within 3 s of the silence,
// `/readyz` says so meanwhile, and messages come again without anybody connecting anew. Where the primary itself hangs, the Sentinels' time
// comes first. A node that loses ZooKeeper, or one client, is as good as before: `/readyz` stays green, and a metric and the log say it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { Client, directConversation } from '../../support/client.mjs';
import { silence, silenceServed, speak } from '../../support/hosts/half_open.mjs';
import { testOnHosts, timed } from '../../support/hosts/suite.mjs';
import { unique } from '../../support/suite.mjs';
import { until } from '../../support/wait.mjs';

const NODES = ['spear-1', 'spear-2', 'ticket-1', 'stat-2', 'idgen-1'];
const ENV = {
  // Sweeps would bring what the relay does not: only what comes over the relay may come within the time.
  PHALANX__SPEAR__DELIVERY__SWEEP_INTERVAL_MS: '600000',
  // Says when a condition of /readyz changes.
  PHALANX__LOG__LEVEL: 'info,boot=debug',
};
const HEARTBEATS = { PHALANX__SPEAR__SOCKET__PING_INTERVAL_MS: '1000', PHALANX__SPEAR__SOCKET__PING_TIMEOUT_MS: '1000' };

const FOUND_MS = 3_000;
// What the test itself needs to see it, on a machine with other work: it reads a log again and again …
const READS_MS = 500;
// … or sends and waits again and again.
const LOOKS_MS = 1_000;
const BUDGET_MS = 30_000;
// A Sentinel that stood still for two seconds does nothing for thirty (TILT).
const FAILOVER_MS = 75_000;

/** A user on spear-1, and one on spear-2 who writes to them. */
async function pair(site) {
  const [alice, bob] = await Promise.all([
    Client.connect(site, unique('alice'), { avoid: ['spear-2'] }),
    Client.connect(site, unique('bob'), { avoid: ['spear-1'] }),
  ]);
  assert.deepEqual([alice.node, bob.node], ['spear-1', 'spear-2']);
  await bob.sendTo(alice.user, 'before');
  await alice.receives(directConversation(alice.user, bob.user), 1);
  return [alice, bob];
}

/** Waits until signals, which nobody stores and no sweep brings, come through the relay from one to the other again. */
function signals(from, to) {
  const text = unique('signal');
  return until(
    async () => {
      await from.ask('signal', { to: { user: to.user }, type: 'typing', body: text }, 1_000).catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, 50));
      return to.events.some(({ name, payload }) => name === 'signal' && payload.body === text);
    },
    BUDGET_MS,
    `a signal comes from ${from.user} to ${to.user}`,
  );
}

function sends(from, to) {
  const cid = unique('cid');
  return until(
    async () => (await from.ask('send', { to: { user: to.user }, cid, body: cid }, 1_000).catch(() => undefined))?.ok,
    BUDGET_MS,
    `a send of ${from.user} is acknowledged`,
  );
}

/** What `/readyz` of a node says is wrong: names of conditions. */
async function wrong(site, id) {
  const { conditions } = await site.readiness(id);
  return conditions.filter(({ ok }) => !ok).map(({ name }) => name);
}

/** What a node logs from now on. */
function logOf(site, id) {
  const path = join(site.logs, `${id}.log`);
  const before = readFileSync(path, 'utf8').length;
  return () => readFileSync(path, 'utf8').slice(before);
}

/** `/readyz` of a node turns red over Redis: often for less time than it takes to ask, so its log says when. */
function red(site, id) {
  const log = logOf(site, id);
  return until(() => /"condition":"(relay|store)","ok":false/.test(log()), BUDGET_MS, `/readyz of ${id} is red for its relay or store`);
}

const green = (site, id) => until(async () => (await wrong(site, id)).length === 0, BUDGET_MS, `/readyz of ${id} is green`);

testOnHosts('half-open connections to Redis', { nodes: NODES, env: ENV }, async (site, context) => {
  const [alice, bob] = await pair(site);
  const primary = await site.redis.primary();
  const count = silence(site.nodes.get('spear-1').host, primary.host.address, 6379);
  context.diagnostic(`${count} connections fell silent`);
  const began = performance.now();
  const [found, heard] = await Promise.all([
    timed(context, '/readyz is red', red(site, 'spear-1')),
    timed(context, 'a signal comes', signals(bob, alice)),
    timed(context, 'a send is acknowledged', sends(alice, bob)),
  ]);
  await green(site, 'spear-1');
  context.diagnostic(`all well after ${Math.round(performance.now() - began)} ms`);
  assert.ok(found < FOUND_MS + READS_MS, `red after ${found} ms`);
  assert.ok(heard < FOUND_MS + LOOKS_MS, `a signal after ${heard} ms`);
  assert.deepEqual([alice.disconnected, bob.disconnected], [undefined, undefined]);
});

testOnHosts('the subscription at Redis is half-open, and nothing else', { nodes: NODES, env: ENV }, async (site, context) => {
  const [alice, bob] = await pair(site);
  const primary = await site.redis.primary();
  const { host } = site.nodes.get('spear-1');
  const subscribed = await site.redis.command(primary, 'client', 'list', 'type', 'pubsub');
  const ports = [...subscribed.matchAll(/ addr=([\d.]+):(\d+)/g)].filter(([, address]) => address === host.address).map(([, , port]) => port);
  assert.ok(ports.length > 0, 'somebody on the host has subscribed');
  silence(host, primary.host.address, 6379, ports);
  const [found, heard] = await Promise.all([
    timed(context, '/readyz is red', red(site, 'spear-1')),
    timed(context, 'a signal comes', signals(bob, alice)),
  ]);
  await green(site, 'spear-1');
  assert.ok(found < FOUND_MS + READS_MS, `red after ${found} ms`);
  assert.ok(heard < FOUND_MS + LOOKS_MS, `a signal after ${heard} ms`);
  assert.deepEqual([alice.disconnected, bob.disconnected], [undefined, undefined]);
});

testOnHosts('Redis fails over while the connections to the dead primary stay', { nodes: NODES, env: ENV }, async (site, context) => {
  const [alice, bob] = await pair(site);
  const old = await site.redis.primary();
  // All from the freeze. Nobody has where to go before the Sentinels have found it and put another one in its place: that is their time.
  const seen = timed(context, '/readyz is red', red(site, 'spear-1'));
  const replacing = timed(context, 'another primary', site.redis.failover(old, FAILOVER_MS));
  old.freeze();
  const [found, heard, replaced] = await Promise.all([
    seen,
    timed(context, 'a signal comes', replacing.then(() => signals(bob, alice))),
    replacing,
    timed(context, 'a send is acknowledged', replacing.then(() => sends(alice, bob))),
  ]);
  await green(site, 'spear-1');
  assert.ok(found < FOUND_MS + READS_MS, `red after ${found} ms`);
  assert.ok(heard < replaced + FOUND_MS + LOOKS_MS, `a signal after ${heard} ms, another primary after ${replaced} ms`);
  assert.deepEqual([alice.disconnected, bob.disconnected], [undefined, undefined]);
  await old.kill9();
});

testOnHosts('half-open connections to ZooKeeper', { nodes: NODES, env: ENV }, async (site, context) => {
  const [alice, bob] = await pair(site);
  const { host } = site.nodes.get('spear-1');
  const [session] = await site.zookeeper.sessions(host);
  assert.ok(session, 'somebody on the host has a session');
  const before = await site.zookeeper.sessions(host);
  const ids = ['spear-1', 'ticket-1', 'stat-2'];
  const logs = ids.map((id) => logOf(site, id));
  const counted = (name) => Promise.all(ids.map((id) => site.metric(id, name)));
  const disconnects = await counted('phalanx_roster_disconnects_total');
  for (const { address } of new Set(before.map(({ server }) => server.host))) silence(host, address, 2181);
  const began = performance.now();
  const moved = async () => {
    const now = await site.zookeeper.sessions(host);
    return before.every(({ id, port }) => now.some((each) => each.id === id && each.port !== port));
  };
  const took = await timed(context, 'every session has another connection', until(moved, BUDGET_MS, 'the sessions move'));
  await green(site, 'spear-1');
  context.diagnostic(`ready after ${Math.round(performance.now() - began)} ms`);
  assert.ok(took < FOUND_MS + LOOKS_MS, `${took} ms`);
  // None has closed its door, and each has said what it noticed.
  for (const log of logs) {
    assert.doesNotMatch(log(), /"condition":"\w+","ok":false/);
    assert.match(log(), /"health":"Suspect/);
  }
  const now = await counted('phalanx_roster_disconnects_total');
  assert.ok(now.every((count, index) => count > disconnects[index]), `disconnects: ${disconnects}, then ${now}`);
  await Promise.all([signals(bob, alice), sends(alice, bob)]);
  assert.deepEqual([alice.disconnected, bob.disconnected], [undefined, undefined]);
});

testOnHosts('half-open connections of clients', { nodes: NODES, env: { ...ENV, ...HEARTBEATS } }, async (site, context) => {
  const [alice, bob] = await pair(site);
  const log = logOf(site, 'spear-1');
  silenceServed(site.nodes.get('spear-1').host, 30001);
  const offline = async () => {
    const { body } = await site.stat('GET', `/v1/users/${alice.user}/presence`);
    return body.online === false;
  };
  const [client, spear] = await Promise.all([
    timed(context, 'the client knows', alice.ended(BUDGET_MS)),
    timed(context, 'the spear knows', until(offline, BUDGET_MS, 'the user is offline')),
  ]);
  assert.ok(Math.max(client, spear) < FOUND_MS + LOOKS_MS, `${client} ms, ${spear} ms`);
  // The spear is well, and says why it has let go.
  const ended = () => site.metric('spear-1', 'phalanx_spear_connections_ended_total', 'reason="ping_timeout"');
  await until(async () => (await ended()) >= 1, BUDGET_MS, 'a metric has why the connection ended');
  assert.deepEqual(await wrong(site, 'spear-1'), []);
  assert.doesNotMatch(log(), /"condition":"\w+","ok":false/);
  const again = await Client.connect(site, alice.user, { avoid: ['spear-1'] });
  // A busy machine answers no ping in a second either.
  await signals(await Client.connect(site, bob.user, { avoid: ['spear-1'] }), again);
  speak(site.nodes.get('spear-1').host);
});
