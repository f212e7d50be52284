// A process that has its place on a host: started, killed, frozen, started again with the data that it has.

import { Process } from '../process.mjs';

export class Placed {
  #process;
  #command;
  /** Whether its end was brought about from here, or is noted. */
  #endIsKnown = false;
  /** Ends that nobody from here brought about: `{end, at}`. */
  #crashes = [];

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

  /** Starts it, unless it runs; nobody waits until it serves. */
  start() {
    if (this.runs) return;
    this.#look();
    this.#endIsKnown = false;
    const [command, args] = this.host.command(...this.#command);
    // Ctrl-C at the terminal is for the test, which decides what becomes of its processes.
    this.#process = new Process(command, args, { env: this.env, log: `${this.logs}/${this.name}.log`, detached: true });
  }

  /** SIGKILL; resolves once it is gone. */
  async kill9() {
    this.#look();
    this.#endIsKnown = true;
    await this.#process?.kill9();
  }

  /** The ends by itself since the last call, also those before it was started again or killed: `{end: {code, signal}, at}`. */
  takeCrashes() {
    this.#look();
    return this.#crashes.splice(0);
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

  #look() {
    if (this.#process === undefined || this.runs || this.#endIsKnown) return;
    this.#crashes.push({ end: this.#process.end, at: Date.now() });
    this.#endIsKnown = true;
  }
}
