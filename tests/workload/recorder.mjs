// Writes what happens as lines of a history (tests/checker/history.mjs), in the order of the calls.

import { closeSync, openSync, writeSync } from 'node:fs';

const KEPT_BYTES = 256 * 1024;

export class Recorder {
  lines = 0;
  #file;
  #waiting = [];
  #bytes = 0;
  #calls = 0;

  constructor(path) {
    this.path = path;
    this.#file = openSync(path, 'w');
  }

  /** What comes after the end is not part of the history. */
  record(event) {
    if (this.#file === undefined) return;
    this.lines += 1;
    const line = `${JSON.stringify(event)}\n`;
    this.#waiting.push(line);
    this.#bytes += line.length;
    if (this.#bytes >= KEPT_BYTES) this.#flush();
  }

  /** A name that no other call of this run has. */
  call() {
    this.#calls += 1;
    return this.#calls;
  }

  close() {
    this.#flush();
    closeSync(this.#file);
    this.#file = undefined;
  }

  #flush() {
    writeSync(this.#file, this.#waiting.join(''));
    this.#waiting = [];
    this.#bytes = 0;
  }
}
