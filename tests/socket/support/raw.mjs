// WebSocket as bytes: frames that no library would send, over a plain TCP connection.

import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';

import { within } from '../../support/wait.mjs';
import { noteSession } from './open.mjs';
import { ANSWER_MS, Queue } from './queue.mjs';

export const CONTINUATION = 0x0;
export const TEXT = 0x1;
export const BINARY = 0x2;
export const CLOSE = 0x8;
export const PING = 0x9;
export const PONG = 0xa;

/**
 * A client's frame. Every field can be wrong on purpose: `length` is what the header says, `form` how many bytes say it (7 bits,
 * 16 or 64).
 */
export function frame(opcode, payload = '', { fin = true, reserved = 0, masked = true, length, form } = {}) {
  const data = Buffer.from(payload);
  const said = BigInt(length ?? data.length);
  const bits = form ?? (said < 126n ? 7 : said < 65_536n ? 16 : 64);
  const first = (fin ? 0x80 : 0) | (reserved << 4) | opcode;
  const mask = masked ? 0x80 : 0;
  let head;
  if (bits === 7) {
    head = Buffer.from([first, mask | Number(said)]);
  } else if (bits === 16) {
    head = Buffer.from([first, mask | 126, 0, 0]);
    head.writeUInt16BE(Number(said), 2);
  } else {
    head = Buffer.concat([Buffer.from([first, mask | 127]), Buffer.alloc(8)]);
    head.writeBigUInt64BE(said, 2);
  }
  if (!masked) return Buffer.concat([head, data]);
  const key = randomBytes(4);
  return Buffer.concat([head, key, data.map((byte, at) => byte ^ key[at % 4])]);
}

export const text = (payload, options) => frame(TEXT, payload, options);

export function closeFrame(code, reason = '') {
  const payload = Buffer.alloc(2);
  payload.writeUInt16BE(code);
  return frame(CLOSE, Buffer.concat([payload, Buffer.from(reason)]));
}

/** An Engine.IO session over a WebSocket of which every byte is ours. Heartbeats are answered while it is read. */
export class RawSession {
  /** Resolves once the connection has ended, with the code of the server's close frame; undefined if there was none. */
  over;
  eio = 4;
  /** Opcode and payload of the control frames that came. */
  controls = new Queue();
  #texts = new Queue();
  #buffer = Buffer.alloc(0);
  #parts = [];
  #closeCode;
  #head = new Queue();
  #inFrames = false;

  static async open(echo, { headers = {}, query = '' } = {}) {
    const session = new RawSession(echo);
    session.socket.write(handshake(echo, headers, query));
    const head = await session.#head.next();
    if (!head.startsWith('HTTP/1.1 101')) throw new Error(`the WebSocket is refused: ${head}`);
    session.head = head;
    session.handshake = JSON.parse((await session.next()).slice(1));
    session.sid = session.handshake.sid;
    return noteSession(session);
  }

  constructor(echo) {
    this.echo = echo;
    this.socket = connect({ port: echo.port, host: '127.0.0.1', noDelay: true });
    this.socket.on('data', (bytes) => this.#take(bytes));
    // A server may reset a connection on which it has left something unread.
    this.socket.on('error', () => {});
    this.over = new Promise((resolve) => this.socket.once('close', () => resolve(this.#closeCode)));
    this.over.then((code) => {
      for (const queue of [this.#texts, this.controls, this.#head]) queue.end(`closed with ${code}`);
    });
  }

  /** Writes bytes as they are; resolves once the system has taken them. */
  write(...chunks) {
    return new Promise((resolve) => this.socket.write(Buffer.concat(chunks), () => resolve()));
  }

  send(packet) {
    return this.write(text(packet));
  }

  next(budgetMs) {
    return this.#texts.next(budgetMs);
  }

  /** Waits until the server has closed, and answers the close code that it gave. */
  closed(budgetMs = ANSWER_MS) {
    return within(this.over, budgetMs, 'the server ends the connection');
  }

  async close() {
    this.socket.destroy();
    await this.over;
  }

  #take(bytes) {
    this.#buffer = Buffer.concat([this.#buffer, bytes]);
    if (!this.#inFrames) {
      const end = this.#buffer.indexOf('\r\n\r\n');
      if (end < 0) return;
      const head = this.#buffer.subarray(0, end).toString();
      this.#buffer = this.#buffer.subarray(end + 4);
      this.#head.push(head);
      if (!head.startsWith('HTTP/1.1 101')) return;
      this.#inFrames = true;
    }
    for (let next = readFrame(this.#buffer); next; next = readFrame(this.#buffer)) {
      this.#buffer = this.#buffer.subarray(next.size);
      this.#frame(next);
    }
  }

  #frame({ opcode, fin, payload }) {
    if (opcode >= CLOSE) {
      if (opcode === CLOSE) this.#closeCode = payload.length >= 2 ? payload.readUInt16BE(0) : 1005;
      this.controls.push({ opcode, payload });
      // Whoever gets a close frame ends the connection; a server need not wait for us to read everything.
      if (opcode === CLOSE) this.socket.end(closeFrame(1000));
      return;
    }
    this.#parts.push(payload);
    if (!fin) return;
    const packet = Buffer.concat(this.#parts.splice(0)).toString();
    if (packet === '2') this.send('3');
    else this.#texts.push(packet);
  }
}

function readFrame(buffer) {
  if (buffer.length < 2) return undefined;
  if (buffer[1] & 0x80) throw new Error('a server must not mask');
  if (buffer[0] & 0x70) throw new Error('reserved bits are set, and no extension was agreed on');
  let [length, start] = [buffer[1], 2];
  if (length === 126) {
    if (buffer.length < 4) return undefined;
    [length, start] = [buffer.readUInt16BE(2), 4];
  } else if (length === 127) {
    if (buffer.length < 10) return undefined;
    [length, start] = [Number(buffer.readBigUInt64BE(2)), 10];
  }
  if (buffer.length < start + length) return undefined;
  return { opcode: buffer[0] & 0xf, fin: buffer[0] >= 0x80, payload: buffer.subarray(start, start + length), size: start + length };
}

/** The request that opens a WebSocket. */
export function handshake(echo, headers = {}, query = '') {
  const fields = {
    Host: echo.host,
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': randomBytes(16).toString('base64'),
    ...headers,
  };
  const lines = Object.entries(fields).filter(([, value]) => value !== undefined).map(([name, value]) => `${name}: ${value}`);
  return `GET /socket.io/?EIO=4&transport=websocket${query} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`;
}
