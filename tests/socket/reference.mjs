// The echo server on the official packages: what passes here is what Socket.IO does, not what we think that it does.
//
//   PHALANX_ECHO="node tests/socket/reference.mjs" node --test tests/socket/*.test.mjs

import { createServer } from 'node:http';
import { parseArgs } from 'node:util';

import { Server } from 'socket.io';

const number = { type: 'string' };
const { values } = parseArgs({
  options: {
    port: number,
    'ping-interval-ms': number,
    'ping-timeout-ms': number,
    'connect-timeout-ms': number,
    'max-payload': number,
    // What Socket.IO does not have.
    'outgoing-bytes': number,
    'send-buffer-bytes': number,
  },
});

// A burst is emitted in slices: 100,000 events in one go would hold up every other client, and that is no property of the protocol.
const SLICE = 1_000;

const http = createServer();
const io = new Server(http, {
  allowEIO3: true,
  pingInterval: Number(values['ping-interval-ms']),
  pingTimeout: Number(values['ping-timeout-ms']),
  connectTimeout: Number(values['connect-timeout-ms']),
  maxHttpBufferSize: Number(values['max-payload']),
});
const goodbyes = new Map();

const REASONS = {
  'client namespace disconnect': 'client_left',
  'server namespace disconnect': 'server_closed',
  'transport close': 'transport_closed',
  'transport error': 'transport_closed',
  'ping timeout': 'ping_timeout',
};

io.on('connection', (socket) => {
  socket.emit('auth', socket.handshake.auth);
  socket.on('message', (...args) => socket.emit('message-back', ...args));
  socket.on('message-with-ack', (...args) => {
    const answer = args.pop();
    if (typeof answer === 'function') answer(...args);
  });
  socket.on('ask', () => socket.emit('question', (...answer) => socket.emit('answered', ...answer)));
  socket.on('many', (count) => emitMany(socket, count, 0));
  socket.on('leave', () => socket.disconnect(true));
  socket.on('goodbye-of', (id, answer) => answer?.(goodbyes.get(id) ?? null));
  socket.on('disconnect', (reason) => goodbyes.set(socket.id, REASONS[reason] ?? reason));
});

function emitMany(socket, count, from) {
  const end = Math.min(from + SLICE, count);
  for (let one = from; one < end && socket.connected; one += 1) socket.emit('one', one);
  if (end < count && socket.connected) setImmediate(emitMany, socket, count, end);
}

http.listen(Number(values.port), '127.0.0.1', () => {
  console.log('echo ready: binary=yes namespaces=no rejoin=yes strict=no exact=yes farewell=yes');
});
