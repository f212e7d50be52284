// Everybody who takes part in a run, and the phases of it: a storm, then everything heals, then the end is recorded.
//
// In the storm devices connect, write, confirm and vanish, groups change, and nodes are killed, all by the choices of the seed.
// Afterwards every device connects once more over a good network, what is without an answer is sent until there is one, and the
// devices get the time to receive everything. Then the store's history is read. Where retention trims, it is waited for before.

import { digest } from '../checker/history.mjs';
import { until, within } from '../support/wait.mjs';
import { answered } from './answers.mjs';
import { Group } from './group.mjs';
import { wantedChanges, wantedMessages } from './owed.mjs';
import { Random } from './random.mjs';
import { Recorder } from './recorder.mjs';
import { User } from './user.mjs';

// More than one connecting and one answer may take.
const CALM_MS = 30_000;
const HEAL_MS = 60_000;
const DRAIN_MS = 45_000;
const TRIM_MS = 30_000;
const PAGE = 200;
const RETRY_MS = 200;

export class World {
  connections = 0;
  isOver = false;
  /** Every conversation that somebody wrote to. */
  conversations = new Set();
  /** Recalls that were acknowledged: `{conversation, seq, began?}`. */
  recalls = [];
  /** Read marks that were acknowledged: `{conversation, seq, began, user}`. */
  reads = [];
  /** conversation → up to where retention took it, once everything has healed */
  trimmed = new Map();
  counts = {};
  #resting = new Set();

  /**
   * @param cluster one that runs
   * @param {{seed: number | string, users: number, groups: number, seconds: number, kills: number, kept: number, path: string,
   *   say?: (phase: string) => void, prefix?: string, trouble?: () => Promise<void>}} options `kept`: the cluster's retention by number,
   *   0 where it keeps all; `prefix`: of all names; `trouble`: what is done to the cluster, in place of `seconds` with `kills`. The storm
   *   lasts as long as it
   */
  constructor(cluster, options) {
    Object.assign(this, { cluster, options });
    this.random = new Random(options.seed);
    this.recorder = new Recorder(options.path);
    const { prefix = '' } = options;
    const names = Array.from({ length: options.users }, (_, index) => prefix + (index === 0 ? 'user:1' : `user-${index + 1}`));
    this.users = names.map((name) => new User(this, name));
    for (const user of this.users) user.befriend(this.users);
    this.groups = Array.from({ length: options.groups }, (_, index) => new Group(this, `${prefix}group-${index + 1}`));
  }

  get devices() {
    return this.users.flatMap((user) => user.devices);
  }

  record(event) {
    this.recorder.record(event);
  }

  count(what) {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  }

  /** Waits so long, at most until the storm is over. */
  rest(ms) {
    if (this.isOver) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#resting.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      this.#resting.add(wake);
    });
  }

  /** All phases. */
  async run() {
    try {
      for (const [name, phase] of [
        ['storm', () => this.#storm()],
        ['heal', () => this.#heal()],
        ['trim', () => this.#trim()],
        ['drain', () => this.#drain()],
        ['history', () => this.#history()],
      ]) {
        this.options.say?.(name);
        await phase();
      }
    } finally {
      this.#calm();
      for (const device of this.devices) device.connection?.close('the end');
      this.recorder.close();
    }
  }

  async #storm() {
    const names = this.users.map((user) => user.name);
    for (const group of this.groups) await group.create(names);
    const lives = [...this.devices, ...this.groups].map((each) => each.live());
    await (this.options.trouble ?? (() => this.#kills()))();
    this.#calm();
    await within(Promise.all(lives), CALM_MS, 'everybody has heard that the storm is over');
  }

  async #kills() {
    const { kills, seconds } = this.options;
    for (let part = 0; part <= kills; part += 1) {
      if (part > 0) await this.#kill();
      await this.rest((seconds * 1_000) / (kills + 1));
    }
  }

  #calm() {
    this.isOver = true;
    for (const wake of [...this.#resting]) wake();
  }

  /** SIGKILL for a spear, or for the one process of an embedded cluster, and a new start. */
  async #kill() {
    const { cluster } = this;
    this.count('kills');
    if (new Set([...cluster.nodes.values()].map((node) => node.process)).size === 1) return cluster.crash();
    const spears = [...cluster.nodes.values()].filter((node) => node.role === 'spear');
    const { id } = this.random.pick(spears);
    await cluster.killNode(id);
    await cluster.launchNode(id);
  }

  async #heal() {
    const ready = async (device) => {
      if (device.began === undefined) return;
      await until(async () => (await device.connect({})).ready, HEAL_MS, `${device.user.name}/${device.name} is ready at the end`);
    };
    await Promise.all(this.devices.map(ready));
    await Promise.all(
      this.users.flatMap((user) => [...user.unanswered.values()].map((send) => this.#settle(user, send))),
    );
  }

  /** Sends until there is an answer for good. */
  async #settle(user, send) {
    const { connection } = user.devices.find((device) => device.connection) ?? {};
    if (!connection) return;
    await until(
      async () => {
        if (await user.send(connection, send)) return true;
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
        return false;
      },
      HEAL_MS,
      `${send.cid} is answered`,
    );
  }

  /** Waits until retention has taken what it will take: nothing more is sent. */
  async #trim() {
    const { kept } = this.options;
    if (kept === 0) return;
    for (const conversation of this.conversations) {
      const trimmed = async () => {
        const { messages, last_seq } = await this.#page(conversation, 0, 1);
        const first = messages[0]?.seq ?? last_seq + 1;
        this.trimmed.set(conversation, first - 1);
        return last_seq - first < kept;
      };
      await until(trimmed, TRIM_MS, `${conversation} is trimmed`);
    }
  }

  /** Waits until every device has what it is owed, or has had its time: then the checker says what is missing. */
  async #drain() {
    const wanted = (await Promise.all(this.users.map((user) => wantedMessages(this, user)))).flat();
    let missing = [...wanted, ...(await wantedChanges(this))];
    const arrived = () => (missing = missing.filter(({ has }) => !has())).length === 0;
    await until(arrived, DRAIN_MS, 'everything has come').catch(() => this.count('devices that miss something'));
    for (const { connection } of this.devices) {
      if (connection && !connection.ended) this.record({ is: 'drained', connection: connection.number });
    }
  }

  /** The history of every conversation, as the business API gives it. */
  async #history() {
    for (const conversation of this.conversations) {
      let after = 0;
      let trimmed;
      for (;;) {
        const page = await this.#page(conversation, after, PAGE);
        // Where retention takes nothing, what is not there at the beginning is lost.
        if (this.options.kept > 0) trimmed ??= (page.messages[0]?.seq ?? page.last_seq + 1) - 1;
        for (const { seq, id, from, cid, body, sent_at, recalled_at } of page.messages) {
          this.record({ is: 'stored', conversation, seq, id, from, cid, body: digest(body), sent_at, recalled_at });
          after = seq;
        }
        if (page.more) continue;
        this.record({ is: 'history', conversation, last_seq: page.last_seq, trimmed, kept: this.options.kept || undefined });
        break;
      }
    }
  }

  async #page(conversation, after, limit) {
    const path = `/v1/conversations/${encodeURIComponent(conversation)}/messages?after=${after}&limit=${limit}`;
    const { status, body } = await answered(this.cluster, 'GET', path);
    if (status !== 200) throw new Error(`the history of ${conversation}: ${status} ${JSON.stringify(body)}`);
    return body;
  }
}
