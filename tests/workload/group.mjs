// A group whose members change all the time.

import { within } from '../support/wait.mjs';

const PAUSE_MS = 500;
const ANSWER_MS = 10_000;

export class Group {
  /** The names of those who are thought to be in it. */
  members = new Set();
  /** user → when they were removed, or perhaps so: the line of the answer, infinite where there is none */
  #removals = new Map();

  constructor(world, name) {
    Object.assign(this, { world, name });
    this.random = world.random.of(`group ${name}`);
  }

  async create(names) {
    const { status } = await this.world.cluster.stat('PUT', `/v1/groups/${this.name}`, { open: true });
    if (status !== 201) throw new Error(`the group ${this.name} was not made: ${status}`);
    await this.#change('add', this.random.sample(names, Math.ceil(names.length * 0.6)));
  }

  /** Until the storm is over. One change after the other, save those that users make themselves. */
  async live() {
    const names = this.world.users.map((user) => user.name);
    while (!this.world.isOver) {
      await this.world.rest(this.random.around(PAUSE_MS));
      const count = this.random.integer(1, 3);
      if (this.random.chance(0.5)) await this.#change('remove', this.random.sample([...this.members], count));
      else await this.#change('add', this.random.sample(names, count));
    }
  }

  /** A user's own `join` (add) or `leave` (remove). */
  async changeOf(what, connection) {
    const { name } = connection.device.user;
    await this.#change(what, [name], async () => {
      const answer = await connection.ask(what === 'add' ? 'join' : 'leave', { group: this.name });
      const code = answer?.error?.code;
      if (code) this.world.count(`${what === 'add' ? 'join' : 'leave'}: ${code}`);
      if (answer?.ok) this.world.count(what === 'add' ? 'own joinings' : 'own leavings');
      return !answer || code === 'unavailable' ? null : answer.ok;
    });
  }

  /** Whether a user was surely not removed since a line. */
  hasKept(user, line) {
    return (this.#removals.get(user) ?? []).every(({ end }) => end < line);
  }

  /** `ask` answers true, false (surely not done), or null where nobody knows. */
  async #change(what, users, ask = () => this.#ask(what === 'add' ? 'PUT' : 'DELETE', users)) {
    if (users.length === 0) return;
    const call = this.world.recorder.call();
    this.world.record({ is: 'change', call, group: this.name, [what]: users });
    const removal = { end: Infinity };
    if (what === 'remove') for (const user of users) this.#removals.set(user, [...(this.#removals.get(user) ?? []), removal]);
    const ok = await ask();
    this.world.record({ is: 'changed', call, ok });
    if (ok !== null) removal.end = ok ? this.world.recorder.lines : 0;
    if (ok !== true) return;
    this.world.count('changes of members');
    for (const user of users) this.members[what === 'add' ? 'add' : 'delete'](user);
  }

  async #ask(method, users) {
    try {
      const asked = this.world.cluster.stat(method, `/v1/groups/${this.name}/members`, { users });
      const { status } = await within(asked, ANSWER_MS, 'a change of members is answered');
      // 4xx was surely not done; after anything else but 200 nobody knows.
      if (status === 200) return true;
      return status >= 400 && status < 500 ? false : null;
    } catch {
      return null;
    }
  }
}
