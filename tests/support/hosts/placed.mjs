// A process that has its place on a host: started, killed, frozen, started again with the data that it has.

import { Process } from '../process.mjs';

export class Placed {
  /** Whether it was ended from here. */
  wasKilled = false;
  #process;
  #command;

  /**
   * @param {string} name for the log and for people
   * @param {import('./network.mjs').Host} host
   * @param {{command: string[], env: Record<string, string>, logs: string}} how
   */
  constructor(name, host, { command, env, logs }) {
    Object.assign(this, { name, host, env, logs });
    this.#command = command;
  }

  get pid() {
    return this.#process?.pid;
  }

  get runs() {
    return this.#process !== undefined && this.#process.end === undefined;
  }

  /** How it ended: `{code, signal}`; undefined while it runs. */
  get end() {
    return this.#process?.end;
  }

  /** Starts it, unless it runs; nobody waits until it serves. */
  start() {
    if (this.runs) return;
    this.wasKilled = false;
    const [command, args] = this.host.command(...this.#command);
    this.#process = new Process(command, args, { env: this.env, log: `${this.logs}/${this.name}.log` });
  }

  /** SIGKILL; resolves once it is gone. */
  async kill9() {
    this.wasKilled = true;
    await this.#process?.kill9();
  }

  /** SIGSTOP: connections stay, nothing answers. */
  freeze() {
    this.#process.signal('SIGSTOP');
  }

  thaw() {
    this.#process.signal('SIGCONT');
  }

  signal(name) {
    this.#process.signal(name);
  }
}
