// python-socketio: one Python process holds every socket, tests/clients/python/many.py. It is told what to do, and tells what
// happens, a line of JSON each; it ends when its input does, so with this process, however that ends.

import { EventEmitter } from 'node:events';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { CLIENTS, python } from '../python.mjs';
import { within } from '../wait.mjs';

let starting;
let opened = 0;
/** number → the sockets that somebody may still hear of */
const sockets = new Map();

/** Starts the process, and installs what it needs where that is missing. */
export function startPython() {
  starting ??= start();
  return starting;
}

async function start() {
  const child = spawn(await python(), [join(CLIENTS, 'many.py')], { stdio: ['pipe', 'pipe', 'inherit'] });
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { socket, ...report } = JSON.parse(line);
    sockets.get(socket)?.told(report);
  });
  child.stdin.on('error', () => {});
  child.once('exit', (code, signal) => {
    for (const socket of sockets.values()) socket.told({ is: 'disconnect', reason: `many.py has ended: ${signal ?? code}` });
  });
  // A test file that is through does not wait for it.
  for (const each of [child, child.stdin, child.stdout]) each.unref();
  return child;
}

export class PythonSocket {
  #number = (opened += 1);
  #heard = new EventEmitter();
  #any = [];
  #asked = 0;
  /** number → who waits for the acknowledgement */
  #answers = new Map();

  constructor(url, ticket, { transports, ...more }) {
    if (Object.keys(more).length > 0) throw new Error(`python-socketio knows nothing of ${Object.keys(more)}`);
    sockets.set(this.#number, this);
    this.#tell({ do: 'open', url, ticket, transports });
  }

  on(name, listener) {
    this.#heard.on(name, listener);
  }

  once(name, listener) {
    this.#heard.once(name, listener);
  }

  onAny(listener) {
    this.#any.push(listener);
  }

  /** `answer` gets the acknowledgement, where there is one. */
  emit(event, payload, answer) {
    let ask;
    if (answer) {
      ask = this.#asked += 1;
      this.#answers.set(ask, answer);
    }
    // As the official client does: what is undefined goes as null.
    this.#tell({ do: 'emit', event, payload: payload ?? null, ask });
  }

  /** Emits, and answers the acknowledgement; rejects after `budgetMs`. */
  ask(event, payload, budgetMs) {
    return within(new Promise((resolve) => this.emit(event, payload, resolve)), budgetMs, `${event} is acknowledged`);
  }

  /** Says goodbye. */
  disconnect() {
    this.#tell({ do: 'disconnect' });
  }

  /** Cuts the connections below socket.io, as a network that goes away does. */
  cut() {
    this.#tell({ do: 'cut' });
  }

  /** A report of the process about this socket. */
  told({ is, ...report }) {
    switch (is) {
      case 'event':
        for (const listener of this.#any) listener(report.name, report.payload);
        this.#heard.emit(report.name, report.payload);
        break;
      case 'answer': {
        const answer = this.#answers.get(report.ask);
        this.#answers.delete(report.ask);
        answer(report.answer);
        break;
      }
      case 'refused':
        this.#heard.emit('connect_error', Object.assign(new Error(report.message), { data: report.data }));
        break;
      case 'connect':
        this.#heard.emit('connect');
        break;
      case 'disconnect':
        this.#heard.emit('disconnect', report.reason);
        break;
      case 'gone':
        sockets.delete(this.#number);
        break;
      default:
        throw new Error(`many.py tells ${is}`);
    }
  }

  #tell(command) {
    const line = `${JSON.stringify({ socket: this.#number, ...command })}\n`;
    startPython().then((child) => child.stdin.write(line));
  }
}
