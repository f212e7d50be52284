// Engine.IO 4: how a session begins, and what is no beginning.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { withEcho } from './support/echo.mjs';
import { endpoint, refusal, request } from './support/http.mjs';
import { PollingSession } from './support/polling.mjs';
import { refusedWith, WebSocketSession } from './support/websocket.mjs';

const suite = withEcho();

const UNKNOWN_TRANSPORT = { status: 400, code: 0, message: 'Transport unknown' };
const UNKNOWN_SESSION = { status: 400, code: 1, message: 'Session ID unknown' };
const BAD_METHOD = { status: 400, code: 2, message: 'Bad handshake method' };
const BAD_REQUEST = { status: 400, code: 3, message: 'Bad request' };
const UNSUPPORTED = { status: 400, code: 5, message: 'Unsupported protocol version' };

const polling = (query) => endpoint(suite.echo, { EIO: 4, transport: 'polling', ...query });

test('the open packet over polling says what the client needs', async (t) => {
  if (!suite.claims(t, 'exact', 'engineioxide lets it be cached')) return;
  const { status, headers, body } = await request(polling());
  assert.equal(status, 200);
  assert.match(headers['content-type'], /^text\/plain; *charset=utf-8$/i);
  assert.equal(headers['cache-control'], 'no-store');
  assert.equal(body[0], '0');
  const { sid, ...rest } = JSON.parse(body.slice(1));
  assert.match(sid, /^[\w-]{16,}$/);
  assert.deepEqual(rest, { upgrades: ['websocket'], pingInterval: 300, pingTimeout: 2_000, maxPayload: 1_000_000 });
});

test('the open packet over WebSocket offers no upgrade', async () => {
  const { sid, ...rest } = (await WebSocketSession.open(suite.echo)).handshake;
  assert.match(sid, /^[\w-]{16,}$/);
  assert.deepEqual(rest, { upgrades: [], pingInterval: 300, pingTimeout: 2_000, maxPayload: 1_000_000 });
});

test('no two sessions have one id', async () => {
  const sessions = await Promise.all(Array.from({ length: 50 }, () => PollingSession.open(suite.echo)));
  assert.equal(new Set(sessions.map(({ sid }) => sid)).size, 50);
});

test('query parameters that nobody knows are no hindrance', async () => {
  const { status } = await request(polling({ t: 'Oxyz123', device: 'a b&c=ü' }));
  assert.equal(status, 200);
});

test('a missing or invalid transport is refused', async (t) => {
  if (!suite.claims(t, 'exact', 'engineioxide puts the code in quotes')) return;
  for (const transport of [undefined, '', 'abc', 'webtransport', 'toString']) {
    assert.deepEqual(await refusal(polling({ transport })), UNKNOWN_TRANSPORT, `transport=${transport}`);
  }
  assert.equal(await refusedWith(suite.echo, { EIO: 4 }), 400);
  assert.equal(await refusedWith(suite.echo, { EIO: 4, transport: 'abc' }), 400);
});

test('a missing or invalid protocol version is refused', async (t) => {
  if (!suite.claims(t, 'strict', 'the official server takes every version but 4 for 3 when that is allowed')) return;
  for (const EIO of [undefined, '', 'abc', '2', '5', '04']) {
    assert.deepEqual(await refusal(polling({ EIO })), UNSUPPORTED, `EIO=${EIO}`);
  }
  assert.equal(await refusedWith(suite.echo, { transport: 'websocket' }), 400);
  assert.equal(await refusedWith(suite.echo, { EIO: 'abc', transport: 'websocket' }), 400);
});

test('an unknown session is refused, whatever is asked', async (t) => {
  if (!suite.claims(t, 'exact', 'engineioxide puts the code in quotes')) return;
  for (const sid of ['abc', 'x'.repeat(3_000), '__proto__', 'ü']) {
    assert.deepEqual(await refusal(polling({ sid })), UNKNOWN_SESSION, `GET ${sid}`);
    assert.deepEqual(await refusal(polling({ sid }), { method: 'POST', body: '40' }), UNKNOWN_SESSION, `POST ${sid}`);
  }
  assert.equal(await refusedWith(suite.echo, { EIO: 4, transport: 'websocket', sid: 'abc' }), 400);
});

test('only GET begins a session', async (t) => {
  if (!suite.claims(t, 'exact', 'engineioxide puts the code in quotes')) return;
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH']) {
    assert.deepEqual(await refusal(polling(), { method }), BAD_METHOD, method);
  }
});

test('a plain request for the transport websocket is refused', async (t) => {
  if (!suite.claims(t, 'exact', 'engineioxide gives no code')) return;
  assert.deepEqual(await refusal(polling({ transport: 'websocket' })), BAD_REQUEST);
});

test('a session keeps to its protocol version', async (t) => {
  if (!suite.claims(t, 'exact', 'engineioxide takes the version of each request')) return;
  const { sid } = await PollingSession.open(suite.echo);
  assert.deepEqual(await refusal(polling({ sid, EIO: 3 })), BAD_REQUEST);
});

test('a method that is neither GET nor POST is refused, and the session goes on', async () => {
  const session = await PollingSession.open(suite.echo);
  for (const method of ['PUT', 'DELETE', 'PATCH']) {
    const { status } = await request(session.url, { method });
    assert.ok([400, 405, 500].includes(status), `${method}: ${status}`);
  }
  const { status, body } = await session.post('40');
  assert.deepEqual([status, body], [200, 'ok']);
});
