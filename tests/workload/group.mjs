// A group whose members change all the time.

import { within } from '../support/wait.mjs';

const PAUSE_MS = 500;
const ANSWER_MS = 10_000;

export class Group {
  /** The names of those who are thought to be in it. */
  members = new Set();

  constructor(world, name) {
    Object.assign(this, { world, name });
    this.random = world.random.of(`group ${name}`);
  }

  async create(names) {
    const { status } = await this.world.cluster.stat('PUT', `/v1/groups/${this.name}`, {});
    if (status !== 201) throw new Error(`the group ${this.name} was not made: ${status}`);
    await this.#change('add', this.random.sample(names, Math.ceil(names.length * 0.6)));
  }

  /** Until the storm is over. One change after the other: who changes a group at two places at once learns nothing from the answers. */
  async live() {
    const names = this.world.users.map((user) => user.name);
    while (!this.world.isOver) {
      await this.world.rest(this.random.around(PAUSE_MS));
      const count = this.random.integer(1, 3);
      if (this.random.chance(0.5)) await this.#change('remove', this.random.sample([...this.members], count));
      else await this.#change('add', this.random.sample(names, count));
    }
  }

  async #change(what, users) {
    if (users.length === 0) return;
    const call = this.world.recorder.call();
    this.world.record({ is: 'change', call, group: this.name, [what]: users });
    const status = await this.#ask(what === 'add' ? 'PUT' : 'DELETE', users);
    // 4xx was surely not done; after anything else but 200 nobody knows.
    const ok = status === 200 ? true : status >= 400 && status < 500 ? false : null;
    this.world.record({ is: 'changed', call, ok });
    if (ok !== true) return;
    this.world.count('changes of members');
    for (const user of users) this.members[what === 'add' ? 'add' : 'delete'](user);
  }

  async #ask(method, users) {
    try {
      const asked = this.world.cluster.stat(method, `/v1/groups/${this.name}/members`, { users });
      return (await within(asked, ANSWER_MS, 'a change of members is answered')).status;
    } catch {
      return undefined;
    }
  }
}
