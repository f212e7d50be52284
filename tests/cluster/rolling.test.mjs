// Given a whole cluster under load, when every node of it is restarted with bin/rolling-restart.sh, then every client moves at most
// twice (once with a spear more), nobody is stormed, and nothing that was acknowledged is lost.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { Client, closeAll, directConversation } from '../support/client.mjs';
import { PhalanxClient } from '../support/helper.mjs';
import { inSeconds, sign } from '../support/jwt.mjs';
import { Ledger } from '../support/ledger.mjs';
import { releaseOffset, reserveOffset } from '../support/ports.mjs';
import { ROOT } from '../support/process.mjs';
import { placed, script } from '../support/script.mjs';
import { until } from '../support/wait.mjs';

const SPEARS = 3;
// So many clients that chance does not decide. Of a hundred on a spear, told within 6.75 of its 10 s, 15 arrive in a second; the bound is
// three times 100 / 10 s, 30. Were they to come independently of one another (Poisson), more than 30 in a given second would have odds of
// 1 : 7,000; told one after the other they vary less.
const RAW = 240;
const PAIRS = 30;
const DRAIN_MS = 10_000;
const STORM = 3;
// A spear that held fewer is not judged: two in a second would be a storm of nothing.
const FEWEST = 60;
// Where others keep the machine busy, moves are held up and let go together, and seconds say nothing of the spears.
const BUSY = 3 * availableParallelism();
const SEND_EVERY_MS = 800;
const BUDGET_MS = 30_000;

/** A user on the official client alone: told to move, it connects elsewhere and leaves then; closed, it comes back. */
class Raw {
  /** Each `ready`: `{node, at}`, by the spear's clock. */
  arrivals = [];
  #cluster;
  #current;
  #leaving = false;

  constructor(cluster, user) {
    this.#cluster = cluster;
    this.user = user;
  }

  async connect(avoid = []) {
    for (let attempt = 0; !this.#leaving; attempt += 1) {
      const client = await Client.connect(this.#cluster.at(attempt), this.user, { avoid }).catch(() => undefined);
      if (!client) {
        await new Promise((resolve) => setTimeout(resolve, 100 + Math.random() * 400));
        continue;
      }
      const before = this.#current;
      this.#current = client;
      this.arrivals.push({ node: client.node, at: client.ready.server_at });
      client.socket.on('migrate', () => this.#moveFrom(client));
      client.socket.on('disconnect', () => this.#moveFrom(client));
      before?.close();
      // It may have been said while nobody listened.
      if (client.disconnected || client.events.some(({ name }) => name === 'migrate')) this.#moveFrom(client);
      return;
    }
  }

  get isConnected() {
    return this.#current !== undefined && !this.#current.disconnected;
  }

  leave() {
    this.#leaving = true;
    this.#current?.close();
  }

  #moveFrom(client) {
    if (client !== this.#current || client.moving || this.#leaving) return;
    client.moving = true;
    void this.connect([client.node]);
  }
}

/** A user on examples/client who writes to a partner all the time. */
class Talker {
  arrivals = [];
  /** seq → body */
  got = new Map();
  #stopped = false;
  #sending;

  constructor(cluster, user, partner, ledger) {
    Object.assign(this, { user, partner, ledger });
    this.conversation = directConversation(user, partner);
    this.client = new PhalanxClient({ ticketUrl: cluster.at(0).ticketUrl, token: () => cluster.token(user) });
    this.client.on('ready', (ready) => this.arrivals.push({ node: ready.node, at: ready.server_at }));
    this.client.on('message', ({ seq, body }) => {
      assert.ok(!this.got.has(seq), `${user} is given ${seq} twice`);
      this.got.set(seq, body);
    });
  }

  async begin() {
    await this.client.connect();
    this.#sending = this.#send();
  }

  get isConnected() {
    return this.client.state === 'connected';
  }

  async stop() {
    this.#stopped = true;
    await this.#sending;
  }

  leave() {
    return this.client.disconnect();
  }

  async #send() {
    for (let number = 1; !this.#stopped; number += 1) {
      const cid = `${this.user}-${number}`;
      const answer = await this.client.send({ user: this.partner }, { number }, { cid });
      this.ledger.note(answer, cid, { number });
      await new Promise((resolve) => setTimeout(resolve, SEND_EVERY_MS));
    }
  }
}

/** The most arrivals in any second, and how many there were. */
function storm(arrivals) {
  const times = arrivals.map(({ at }) => at).sort((a, b) => a - b);
  let most = 0;
  for (let from = 0, to = 0; to < times.length; to += 1) {
    while (times[from] <= times[to] - 1_000) from += 1;
    most = Math.max(most, to - from + 1);
  }
  return { most, count: times.length };
}

describe('a rolling restart of test2 under load', () => {
  let directory;
  let env;
  let offset;
  let cluster;
  let busy;
  /** Of each drain of a spear, how many arrived in its busiest second. */
  const storms = [];
  const ledger = new Ledger();
  const raws = [];
  const talkers = [];
  const everybody = () => [...raws, ...talkers];

  before(async () => {
    busy = loadavg()[0] > BUSY;
    if (busy) console.log(`the machine is busy (load ${loadavg()[0].toFixed(1)}): what arrives in a second is shown, and not judged`);
    directory = mkdtempSync(join(tmpdir(), 'phalanx-rolling-'));
    offset = await reserveOffset();
    env = {
      ...placed(directory, offset),
      PHALANX__SPEAR__INSTANCES: String(SPEARS),
      PHALANX__SPEAR__DRAIN_TIMEOUT_MS: String(DRAIN_MS),
      // All of them come from one address, and faster than people do.
      PHALANX__TICKET__LIMITS__ADDRESS_PER_SECOND: '0',
    };
    // The cluster is nobody's child: it would go on where this is interrupted.
    for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
    process.once('exit', end);
    const { code, output } = await script('start', ['test2'], env);
    assert.equal(code, 0, output);
    const secrets = readFileSync(join(directory, 'data', 'test2', 'secrets.env'), 'utf8');
    const secret = Buffer.from(secrets.match(/HS256_SECRET='(.*)'/)[1]);
    const token = (user) => sign({ sub: user, exp: inSeconds(3_600) }, { secret });
    // One ticket node after the other, as a load balancer would have it.
    cluster = { token, at: (attempt) => ({ token, ticketUrl: `http://127.0.0.1:${20000 + offset + (attempt % 2)}` }) };

    for (let number = 0; number < RAW; number += 1) raws.push(new Raw(cluster, `raw-${number}`));
    for (let number = 0; number < PAIRS; number += 1) {
      const pair = [`left-${number}`, `right-${number}`];
      talkers.push(new Talker(cluster, pair[0], pair[1], ledger), new Talker(cluster, pair[1], pair[0], ledger));
    }
    // Some at a time: they share two cores with the cluster.
    const waiting = everybody();
    await Promise.all(
      Array.from({ length: 16 }, async () => {
        for (let next = waiting.pop(); next; next = waiting.pop()) await (next.begin?.() ?? next.connect());
      }),
    );
  });

  after(async () => {
    for (const each of everybody()) void each.leave();
    closeAll();
    end();
  });

  function end() {
    if (!directory) return;
    execFileSync(join(ROOT, 'bin', 'stop.sh'), ['test2'], { env: { ...process.env, ...env }, cwd: tmpdir() });
    releaseOffset(offset);
    rmSync(directory, { recursive: true, force: true });
    directory = undefined;
  }

  /** Rolls, and answers how often each one has connected meanwhile. */
  async function roll(args) {
    const before = new Map(everybody().map((each) => [each, each.arrivals.length]));
    const holders = new Map(everybody().map((each) => [each, each.arrivals.at(-1).node]));
    const began = Date.now();
    const { code, output } = await script('rolling-restart', [...args, '--no-build', 'test2'], env);
    assert.equal(code, 0, output);
    console.log(`rolled in ${Math.round((Date.now() - began) / 1_000)} s`);
    await until(() => everybody().every((each) => each.isConnected), BUDGET_MS, 'all are connected again');

    // Whoever was on the same spear moved in the same drain.
    const drains = new Map();
    const moves = new Map();
    for (const each of everybody()) {
      let from = holders.get(each);
      const arrivals = each.arrivals.slice(before.get(each));
      moves.set(each, arrivals.length);
      for (const arrival of arrivals) {
        drains.set(from, [...(drains.get(from) ?? []), arrival]);
        from = arrival.node;
      }
    }
    for (const [spear, arrivals] of drains) {
      const { most, count } = storm(arrivals);
      const mean = (count * 1_000) / DRAIN_MS;
      if (count < FEWEST) continue;
      console.log(`${spear}: ${count} moved, at most ${most} in a second, ${mean.toFixed(1)} in the mean`);
      storms.push({ spear, most, count, mean });
    }
    return { moves: [...moves.values()], output, drained: [...drains.keys()].sort() };
  }

  /** Begins to roll, and presses Ctrl-C once it has said this; answers how it ended. */
  async function interrupted(args, when) {
    // As a terminal does: to everybody in the foreground.
    const child = spawn(join(ROOT, 'bin', 'rolling-restart.sh'), [...args, '--no-build', 'test2'], { env: { ...process.env, ...env }, detached: true });
    let output = '';
    let told = false;
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (data) => {
        output += data;
        if (output.includes(when) && !told) told = process.kill(-child.pid, 'SIGINT');
      });
    }
    const code = await new Promise((resolve) => child.once('close', resolve));
    return { code, output };
  }

  test('every node of every role: at most two moves a client', async () => {
    const { conditions } = await (await fetch(`http://127.0.0.1:${50011 + offset}/readyz`)).json();
    const active = conditions.some(({ detail }) => detail.startsWith('active')) ? 'idgen-1' : 'idgen-2';
    const { moves, output, drained } = await roll([]);
    const order = [...output.matchAll(/(\S+): asked to end/g)].map((match) => match[1]);
    assert.deepEqual(order.slice(2), ['stat-1', 'stat-2', 'ticket-1', 'ticket-2', 'spear-1', 'spear-2', 'spear-3', 'minions-ui-1']);
    assert.deepEqual(order.slice(0, 2), [active === 'idgen-1' ? 'idgen-2' : 'idgen-1', active], 'who is active comes last');
    assert.equal(output.match(/: ready \(pid/g).length, order.length, output);
    assert.deepEqual(drained, ['spear-1', 'spear-2', 'spear-3']);
    assert.ok(Math.max(...moves) <= 2, `somebody moved ${Math.max(...moves)} times`);
    assert.ok(Math.min(...moves) >= 1, 'everybody has moved');
  });

  test('with one spear more every client moves once', async () => {
    const { moves, output } = await roll(['--surge', '--only', 'spear']);
    assert.match(output, /spear-4: ready/);
    assert.deepEqual(new Set(moves), new Set([1]), `moves: ${moves}`);
  });

  test('no second has more than three times the mean of arrivals', (context) => {
    if (busy) {
      context.skip('the machine was busy when this began');
      return;
    }
    // Three spears, then three again.
    assert.ok(storms.length >= SPEARS, `${storms.length} drains were large enough to judge`);
    for (const { spear, most, count, mean } of storms) {
      assert.ok(most <= STORM * mean, `${spear}: ${most} of ${count} arrived within a second, the mean is ${mean}`);
    }
  });

  test('in two groups, the spears of a group at once: at most two moves a client', async () => {
    const { moves, output } = await roll(['--groups', '2', '--only', 'spear']);
    const order = [...output.matchAll(/(spear-\d): (asked to end|ready)/g)].map(([, id, what]) => `${id} ${what}`);
    assert.deepEqual(order.slice(0, 2), ['spear-1 asked to end', 'spear-1 ready']);
    assert.deepEqual(order.slice(2, 4), ['spear-2 asked to end', 'spear-3 asked to end'], 'neither waits for the other');
    assert.deepEqual(order.slice(4).sort(), ['spear-2 ready', 'spear-3 ready']);
    assert.ok(Math.max(...moves) <= 2, `somebody moved ${Math.max(...moves)} times`);
  });

  test('interrupted, it finishes the node in work and says what is left', async () => {
    const { code, output } = await interrupted(['--only', 'stat'], 'stat-1: asked to end');
    assert.equal(code, 130, output);
    assert.match(output, /stat-1: ready[^]*not restarted: stat-2\n/);
  });

  test('interrupted with one spear more, it takes back what it has prepared, and forgets no spear', async () => {
    const { code, output } = await interrupted(['--surge', '--only', 'spear'], 'spear-1: takes no newcomers');
    assert.equal(code, 130, output);
    const held = [...output.matchAll(/(spear-\d): takes no newcomers/g)].map(([, id]) => id);
    for (const id of held) assert.match(output, new RegExp(`${id} takes newcomers again`));
    assert.doesNotMatch(output, /asked to end|could not/);
    assert.match(output, /not restarted: spear-1 spear-2 spear-3\n[^]*spear-4 stays as one spear more[^]*spear-5 stays as one spear more/);
  });

  test('--end-surge ends them for good, and moves their clients only, once', async () => {
    const ended = () => script('status', ['test2'], env).then(({ output }) => [...output.matchAll(/spear-\d(?=.*one more)/g)].map(String));
    assert.deepEqual(await ended(), ['spear-4', 'spear-5']);
    const held = everybody().filter((each) => ['spear-4', 'spear-5'].includes(each.arrivals.at(-1).node)).length;
    assert.ok(held > 0, 'spear-4 holds clients');
    const { moves } = await roll(['--end-surge']);
    assert.equal(moves.reduce((sum, count) => sum + count, 0), held);
    assert.equal(Math.max(...moves), 1);
    assert.deepEqual(await ended(), []);
    const again = await script('rolling-restart', ['--end-surge', 'test2'], env);
    assert.equal(again.code, 1);
    assert.match(again.output, /there is no spear that --surge has left/);
  });

  test('nothing acknowledged is lost, and everybody has got it once', async () => {
    await Promise.all(talkers.map((talker) => talker.stop()));
    console.log(`${ledger.size} messages were acknowledged`);
    assert.ok(ledger.size > PAIRS * 20, `${ledger.size} were sent`);
    for (let pair = 0; pair < talkers.length; pair += 2) {
      const { user, conversation } = talkers[pair];
      const reader = await Client.connect(cluster.at(0), user, { device: 'reader' });
      const stored = await ledger.check(reader, conversation);
      reader.close();
      for (const talker of talkers.slice(pair, pair + 2)) {
        const missing = () => stored.filter(({ from, seq }) => from !== talker.user && !talker.got.has(seq)).map(({ seq }) => seq);
        await until(() => missing().length === 0, BUDGET_MS, () => `${talker.user} has got all of ${conversation}, not ${missing()}`);
      }
    }
  });
});
