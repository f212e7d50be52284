// One process of a test: started, signalled, waited for; ended with the test.

import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { within } from './wait.mjs';

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

const END_MS = 30_000;

const running = new Set();

// A test process that ends takes its processes with it: 'exit' is not emitted for a signal that nobody handles.
const leave = (number) => () => process.exit(128 + number);
const interrupted = leave(2);
process.once('SIGHUP', leave(1));
process.once('SIGINT', interrupted);
process.once('SIGTERM', leave(15));
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Lets the first Ctrl-C do this, and the next one end the process. Answers how to take it back. */
export function onInterrupt(act) {
  const first = () => {
    process.once('SIGINT', interrupted);
    act();
  };
  process.removeListener('SIGINT', interrupted);
  process.once('SIGINT', first);
  return () => {
    process.removeListener('SIGINT', first);
    process.removeListener('SIGINT', interrupted);
    process.once('SIGINT', interrupted);
  };
}

export class Process {
  /** How it ended: `{code, signal}`; undefined while it runs. */
  end = undefined;
  #child;
  #ended;

  /** Starts `command`; what it prints is added to the file `log`. `detached`: Ctrl-C at the terminal does not reach it. */
  constructor(command, args, { env, log, detached = false }) {
    const output = createWriteStream(log, { flags: 'a' });
    this.#child = spawn(command, args, { cwd: ROOT, env, detached, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child.stdout.pipe(output, { end: false });
    this.#child.stderr.pipe(output, { end: false });
    running.add(this.#child);
    this.#ended = once(this.#child, 'exit').then(([code, signal]) => {
      running.delete(this.#child);
      this.end = { code, signal };
      return this.end;
    });
    this.#child.once('close', () => output.end());
  }

  get pid() {
    return this.#child.pid;
  }

  signal(name) {
    this.#child.kill(name);
  }

  /** SIGKILL: nothing is flushed, nobody is told. Resolves once it is gone. */
  kill9() {
    if (!this.end) this.#child.kill('SIGKILL');
    return this.ended();
  }

  /** Waits for the end, and answers how it was. */
  ended() {
    return within(this.#ended, END_MS, `the process ${this.#child.spawnargs.join(' ')} has ended`);
  }
}
