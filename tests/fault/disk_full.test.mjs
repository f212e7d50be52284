// Given the embedded cluster on a disk that fills up while users write, then sends are refused as unavailable, connections and the process
// stay, nothing acknowledged is lost, also over a kill -9 while it is full, and sends go on once there is room.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, rmdirSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { Client, closeAll, directConversation } from '../support/client.mjs';
import { Cluster } from '../support/cluster.mjs';
import { Ledger, assertInOrder } from '../support/ledger.mjs';
import { EMBEDDED } from '../support/profile.mjs';
import { unique } from '../support/suite.mjs';
import { until } from '../support/wait.mjs';

const DISK = '48m';
const LEFT_BYTES = 512 * 1024;
const BODY = 'x'.repeat(8_000);
const BUDGET_MS = 30_000;

/** A disk of its own: a tmpfs of fixed size. It goes with `unmount`, or with the process. */
class Disk {
  #onExit = () => this.unmount();

  static mount() {
    if (process.getuid() !== 0) throw new Error('a disk of its own needs root, to mount a tmpfs');
    const disk = new Disk();
    disk.path = mkdtempSync(join(tmpdir(), 'phalanx-disk-'));
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK}`, 'phalanx-test', disk.path]);
    } catch (error) {
      rmdirSync(disk.path);
      throw error;
    }
    process.once('exit', disk.#onExit);
    return disk;
  }

  /** Leaves only so much room. */
  fill(left) {
    const { bavail, bsize } = statfsSync(this.path);
    writeFileSync(join(this.path, 'ballast'), Buffer.alloc(Math.max(0, bavail * bsize - left)));
  }

  free() {
    rmSync(join(this.path, 'ballast'), { force: true });
  }

  unmount() {
    process.removeListener('exit', this.#onExit);
    execFileSync('umount', ['--lazy', this.path]);
    rmdirSync(this.path);
  }
}

// On Redis what is full is memory: the store's own tests fill that.
if (EMBEDDED) {
  test('a disk that is full refuses, and loses nothing', { timeout: 180_000 }, async (context) => {
    const disk = Disk.mount();
    let cluster;
    context.after(async () => {
      try {
        closeAll();
        await cluster?.dispose({ failed: context.passed === false });
      } finally {
        disk.unmount();
      }
    });
    cluster = await Cluster.start({ env: { PHALANX__CLUSTER__DATA_DIR: join(disk.path, 'data') } });
    // The signing key lies in the data directory, which is elsewhere: the cluster's own door signs.
    const [alice, bob] = await Promise.all([unique('alice'), unique('bob')].map((user) => Client.connect(cluster, user)));
    const conversation = directConversation(alice.user, bob.user);
    const ledger = new Ledger();
    let number = 0;
    /** Writes until a send is refused, or acknowledged; answers the code. */
    const write = async () => {
      number += 1;
      const send = { to: { user: bob.user }, cid: `cid-${number}`, body: { number, BODY } };
      const answer = await alice.ask('send', send);
      if (answer.ok) ledger.note(answer, send.cid, send.body);
      return answer.ok ? undefined : answer.error.code;
    };
    for (let count = 0; count < 50; count += 1) assert.equal(await write(), undefined);

    disk.fill(LEFT_BYTES);
    const code = await until(write, BUDGET_MS, 'a send is refused');
    assert.equal(code, 'unavailable');
    const before = ledger.size;
    context.diagnostic(`${before} acknowledged until the disk was full`);
    for (let count = 0; count < 20; count += 1) await write();
    assert.deepEqual([alice.disconnected, bob.disconnected], [undefined, undefined], 'connections stay');
    assert.equal((await fetch(`${cluster.ticketUrl}/healthz`)).status, 200, 'the process stays');

    disk.free();
    await until(async () => (await write()) === undefined, BUDGET_MS, 'sends go on');
    await ledger.check(alice, conversation);

    disk.fill(LEFT_BYTES);
    await until(write, BUDGET_MS, 'a send is refused again');
    await cluster.kill9();
    disk.free();
    await cluster.launch();
    const reader = await Client.connect(cluster, bob.user);
    const stored = await ledger.check(reader, conversation);
    await reader.receives(conversation, stored.length, BUDGET_MS);
    assertInOrder(reader);
  });
}
