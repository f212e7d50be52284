// A real ZooKeeper, Redis, Kafka or RocketMQ server of a test, run by bin/lib/server.sh.

import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { connect as connectByTls } from 'node:tls';

import { Process, ROOT } from './process.mjs';
import { until } from './wait.mjs';

// A broker needs many seconds of processor time, and may have to be fetched before.
const START_MS = { zookeeper: 40_000, redis: 40_000, kafka: 180_000, 'rocketmq-names': 180_000, rocketmq: 180_000 };

// What is sent to a server, and what its answer holds once it serves.
// Those of RocketMQ are asked which brokers there are, and how the broker is set.
const KNOWN_BROKERS = remoting(106);
// Kafka is asked which requests it knows (ApiVersions, version 0): the answer repeats the correlation, 7, before "no error".
const GREETINGS = {
  zookeeper: ['srvr', 'Mode:'],
  redis: ['PING\r\n', '+PONG'],
  kafka: [Buffer.from('0000000b0012000000000007000174', 'hex'), '\0\0\0\x07\0\0'],
  'rocketmq-names': [KNOWN_BROKERS, '"code":0,'],
  rocketmq: [remoting(26), '"code":0,'],
};

/** A command of RocketMQ's remoting protocol, with a header of JSON and nothing else. */
function remoting(code) {
  const header = Buffer.from(JSON.stringify({ code, language: 'OTHER', version: 0, opaque: 1, flag: 0, extFields: {} }));
  const lengths = Buffer.alloc(8);
  lengths.writeUInt32BE(header.length + 4, 0);
  lengths.writeUInt32BE(header.length, 4);
  return Buffer.concat([lengths, header]);
}

export class Server {
  #process;

  /**
   * @param {'zookeeper' | 'redis' | 'kafka' | 'rocketmq-names' | 'rocketmq'} kind
   * @param {{port: number, directory: string, options?: string[], greeting?: [string, string], ca?: string}} where its port and its
   *   data; what bin/lib/server.sh is given beyond them, a broker's name servers for one; what it is asked, and what it answers once it
   *   serves; the file of the authority where it speaks TLS only
   */
  static async start(kind, where) {
    const server = new Server();
    Object.assign(server, { kind, ...where });
    await server.launch();
    return server;
  }

  get address() {
    return `127.0.0.1:${this.port}`;
  }

  /** Starts it with the data that it has, and waits until it serves. */
  async launch() {
    this.#process = new Process(
      join(ROOT, 'bin', 'lib', 'server.sh'),
      [this.kind, join(this.directory, this.kind), String(this.port), ...(this.options ?? [])],
      { env: process.env, log: join(this.directory, `${this.kind}.log`) },
    );
    await until(
      async () => {
        if (this.#process.end) throw new Error(`${this.kind} ended at its start: see ${this.directory}/${this.kind}.log`);
        return this.serves();
      },
      START_MS[this.kind],
      `${this.kind} serves`,
    );
  }

  kill9() {
    return this.#process.kill9();
  }

  /** SIGSTOP: connections stay, nothing answers. */
  freeze() {
    this.#process.signal('SIGSTOP');
  }

  thaw() {
    this.#process.signal('SIGCONT');
  }

  /** Whether it answers; a broker of RocketMQ is also known to its name servers. */
  async serves() {
    const names = this.kind === 'rocketmq' ? this.options : [];
    const known = names.map((address) => this.answers(KNOWN_BROKERS, `"${this.address}"`, Number(address.split(':')[1])));
    return (await Promise.all([this.answers(...(this.greeting ?? GREETINGS[this.kind])), ...known])).every(Boolean);
  }

  /** Whether it, or what has this port, answers this, as it goes over the wire, with something that holds this. */
  answers(question, part, port = this.port) {
    return new Promise((resolve) => {
      let answer = '';
      const connected = () => socket.write(question);
      const where = { host: '127.0.0.1', port };
      const socket = this.ca
        ? connectByTls({ ...where, ca: readFileSync(this.ca) }, connected)
        : connect(where, connected);
      const done = (yes) => {
        socket.destroy();
        resolve(yes);
      };
      socket.setTimeout(2_000, () => done(false));
      socket.on('data', (bytes) => {
        answer += bytes;
        if (answer.includes(part)) done(true);
      });
      socket.on('close', () => done(false));
      socket.on('error', () => done(false));
    });
  }
}
