// A plain Socket.IO server, as its documentation has it: rooms for users and groups, with the Redis adapter where there is
// more than one process. It checks nobody and stores nothing.
//
//   node server.mjs PORT [redis://127.0.0.1:PORT]

import { createServer } from 'node:http';

import { createAdapter } from '@socket.io/redis-adapter';
import { createClient } from 'redis';
import { Server } from 'socket.io';

const [port, redisUrl] = process.argv.slice(2);
if (!port) {
  console.error('usage: node server.mjs PORT [REDIS_URL]');
  process.exit(2);
}

// What leaves a fair server: WebSocket only, no compression (both are the works' own choice or the default).
const http = createServer();
const io = new Server(http, { transports: ['websocket'], perMessageDeflate: false, serveClient: false });

if (redisUrl) {
  const publisher = createClient({ url: redisUrl });
  const subscriber = publisher.duplicate();
  await Promise.all([publisher.connect(), subscriber.connect()]);
  io.adapter(createAdapter(publisher, subscriber));
}

io.on('connection', (socket) => {
  const { user, groups = [] } = socket.handshake.auth;
  socket.join(`u:${user}`);
  for (const group of groups) socket.join(`g:${group}`);

  socket.on('send', ({ to, body }, answer) => {
    const room = to.user === undefined ? `g:${to.group}` : `u:${to.user}`;
    socket.to(room).emit('message', { from: user, body });
    answer({ ok: true });
  });
});

http.listen(Number(port), '127.0.0.1', () => console.log(`ready on port ${port}`));
