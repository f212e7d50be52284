// Ends a ZooKeeper session from outside, as an expiry does: by taking it over and closing it.
//
// The password of a session follows from its id: ZooKeeper's SessionTrackerImpl draws it from java.util.Random, seeded with the id and
// a constant. So whoever knows the id (`cons` lists it) may come as that client. Its own connection is closed; when it comes back,
// it hears that the session has expired.

import { connect } from 'node:net';

const SECRET = 0xb3415c00n;
const PASSWORD_BYTES = 16;
const CLOSE_SESSION = -11;
const TIMEOUT_MS = 3_000;
const ANSWER_MS = 3_000;

/** Resolves once the session is closed, by its id (`0x…`), on the server at this address. */
export function expire(id, address, port = 2181) {
  const session = BigInt(id);
  return new Promise((resolve, reject) => {
    const socket = connect(port, address, () => {
      socket.write(framed(hello(session)));
      socket.write(framed(close()));
    });
    const timer = setTimeout(() => socket.destroy(new Error(`session ${id} was not closed within ${ANSWER_MS} ms`)), ANSWER_MS);
    let answer = Buffer.alloc(0);
    socket.on('data', (bytes) => (answer = Buffer.concat([answer, bytes])));
    socket.on('error', reject);
    socket.on('close', () => {
      clearTimeout(timer);
      // Length, protocol version, timeout: 0 where the session, or its password, is not known.
      if (answer.length >= 12 && answer.readInt32BE(8) > 0) resolve();
      else reject(new Error(`session ${id} could not be taken over`));
    });
  });
}

function hello(session) {
  const bytes = Buffer.alloc(4 + 8 + 4 + 8 + 4 + PASSWORD_BYTES + 1);
  bytes.writeInt32BE(0, 0);
  // The last zxid that was seen: the server turns away whoever has seen more than itself.
  bytes.writeBigInt64BE(0n, 4);
  bytes.writeInt32BE(TIMEOUT_MS, 12);
  bytes.writeBigInt64BE(BigInt.asIntN(64, session), 16);
  bytes.writeInt32BE(PASSWORD_BYTES, 24);
  password(session).copy(bytes, 28);
  return bytes;
}

function close() {
  const bytes = Buffer.alloc(8);
  bytes.writeInt32BE(1, 0);
  bytes.writeInt32BE(CLOSE_SESSION, 4);
  return bytes;
}

function framed(bytes) {
  const length = Buffer.alloc(4);
  length.writeInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** What java.util.Random's nextBytes gives. */
function password(session) {
  const mask = (1n << 48n) - 1n;
  let state = (BigInt.asUintN(64, session ^ SECRET) ^ 0x5deece66dn) & mask;
  const bytes = Buffer.alloc(PASSWORD_BYTES);
  for (let place = 0; place < PASSWORD_BYTES; place += 4) {
    state = (state * 0x5deece66dn + 0xbn) & mask;
    bytes.writeInt32LE(Number(BigInt.asIntN(32, state >> 16n)), place);
  }
  return bytes;
}
