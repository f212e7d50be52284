// The official clients v4, v3 and v2 on every transport: how connections end, and begin again.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { within } from '../support/wait.mjs';
import { Echo, withEcho } from './support/echo.mjs';
import { CLIENTS, connect, echoed, nextEvent } from './support/official.mjs';
import { goodbyeOf, isUnknown } from './support/session.mjs';

const suite = withEcho({ pingIntervalMs: 500, pingTimeoutMs: 5_000, connectTimeoutMs: 60_000 });

const RECONNECT = { reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 100, randomizationFactor: 0 };

/** Id and revision of the session below a client. */
const engineOf = (socket, { version }) => ({ sid: socket.io.engine.id, eio: version === 'v2' ? 3 : 4 });

for (const client of CLIENTS) {
  test(`${client.name}: a client that disconnects is gone for the server`, async () => {
    const socket = await connect(suite.echo, client);
    const engine = engineOf(socket, client);
    const reason = nextEvent(socket, 'disconnect');
    socket.disconnect();
    assert.equal((await reason)[0], 'io client disconnect');
    if (client.transport === 'polling') await isUnknown(suite.echo, engine);
  });

  // A client v2 is not told the id by which the server names it.
  if (client.version !== 'v2') test(`${client.name}: the server knows why a client has gone`, async (t) => {
    if (!suite.claims(t, 'farewell', 'the server is to tell why')) return;
    const socket = await connect(suite.echo, client);
    const { id } = socket;
    socket.disconnect();
    assert.equal(await goodbyeOf(suite.echo, id), 'client_left');
  });

  test(`${client.name}: a client that the server disconnects is told`, async () => {
    const socket = await connect(suite.echo, client);
    const engine = engineOf(socket, client);
    const reason = nextEvent(socket, 'disconnect');
    socket.emit('leave');
    assert.equal((await reason)[0], 'io server disconnect');
    if (client.transport === 'polling') await isUnknown(suite.echo, engine);
  });

  test(`${client.name}: a client whose packet is malformed sees its transport close`, async () => {
    const socket = await connect(suite.echo, client);
    const reason = nextEvent(socket, 'disconnect');
    socket.io.engine.write('no packet');
    const [why] = await reason;
    // Over polling the client may see its request fail first.
    assert.ok(['transport close', 'transport error'].includes(why), why);
  });

  test(`${client.name}: a client whose transport breaks comes back as somebody new`, async () => {
    const socket = await connect(suite.echo, client, RECONNECT);
    const { id } = socket;
    const [gone, back] = [nextEvent(socket, 'disconnect'), nextEvent(socket, 'connect')];
    socket.io.engine.close();
    await gone;
    await back;
    assert.notEqual(socket.id, id);
    assert.deepEqual(await echoed(socket, [['again']]), [['again']]);
  });
}

test('every client comes back when the server does', async (t) => {
  const echo = await Echo.start({ pingIntervalMs: 500, pingTimeoutMs: 5_000 });
  t.after(() => echo.dispose());
  const sockets = await Promise.all(CLIENTS.map((client) => connect(echo, client, RECONNECT)));
  const gone = Promise.all(sockets.map((socket) => nextEvent(socket, 'disconnect')));
  const back = Promise.all(sockets.map((socket) => nextEvent(socket, 'connect', 20_000)));
  await echo.kill9();
  await gone;
  await echo.launch();
  await within(back, 20_000, 'all are back');
  for (const [at, socket] of sockets.entries()) assert.deepEqual(await echoed(socket, [[at]]), [[at]], CLIENTS[at].name);
});

test('a client that stops answering is closed, though its connection is open', async (t) => {
  if (!suite.claims(t, 'farewell', 'the server is to tell why')) return;
  const socket = await connect(suite.echo, { version: 'v4', transport: 'websocket' });
  const { id } = socket;
  // No ping is seen any more; and the client does not hang up by itself, as it would when none comes.
  clearTimeout(socket.io.engine._pingTimeoutTimer);
  socket.io.engine.transport.ws.pause();
  assert.equal(await goodbyeOf(suite.echo, id, 15_000), 'ping_timeout');
});
