// Socket.IO 5: joining and leaving the default namespace.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CALM, withEcho } from './support/echo.mjs';
import { echoes, isClosed, join, message, OPENERS, sendFatal } from './support/session.mjs';

// Some of what comes before joining ends nothing by itself: who then does not join is closed.
const suite = withEcho({ ...CALM, connectTimeoutMs: 3_000 });

for (const [transport, open] of Object.entries(OPENERS)) {
  const start = (options) => open(suite.echo, options);

  test(`${transport}: joined without auth`, async () => {
    const session = await start();
    const { sid, auth } = await join(session);
    assert.match(sid, /^[\w-]{16,}$/);
    // The session's own id opens its transport; what others are told is another one.
    assert.notEqual(sid, session.sid);
    assert.deepEqual(auth, {});
    await echoes(session);
  });

  test(`${transport}: joined with auth, which comes back as it was`, async () => {
    const given = { ticket: 'a.b.c', nested: { list: [1, null, 'é😀\u2028'], deep: { er: true } }, '': 'empty', __proto__x: 1 };
    assert.deepEqual((await join(await start(), given)).auth, given);
    assert.deepEqual((await join(await start(), {})).auth, {});
  });

  test(`${transport}: the namespace may be written out`, async () => {
    const session = await start();
    await session.send('40/,{"a":1}');
    assert.match(await session.next(), /^40(\/,)?\{"sid":/);
    assert.equal(await session.next(), '42["auth",{"a":1}]');
    await session.send('42/,["message","x"]');
    assert.equal(await session.next(), '42["message-back","x"]');
  });

  for (const auth of ['"random"', '[]', '["a"]', 'true', 'null', '{', '{"a"}', '{} {}', 'abc']) {
    test(`${transport}: ${auth} is no auth, and closes the session`, async () => {
      const session = await start();
      await sendFatal(session, `40${auth}`);
      await isClosed(session);
    });
  }

  test(`${transport}: an unknown namespace is refused, and the session lives`, async (t) => {
    if (suite.echo.claims.namespaces) return t.skip('the server has namespaces');
    const session = await start();
    for (const [sent, name] of [['/random', '/random'], ['/a/b,', '/a/b'], ['/other,{"token":1}', '/other']]) {
      await session.send(`40${sent}`);
      assert.equal(await session.next(), `44${name},{"message":"Invalid namespace"}`);
    }
    await join(session);
    await session.send('40/random,');
    assert.equal(await session.next(), '44/random,{"message":"Invalid namespace"}');
    await echoes(session);
  });

  test(`${transport}: joining twice closes the session`, async () => {
    const session = await start();
    await join(session);
    await sendFatal(session, '40');
    await isClosed(session);
  });

  test(`${transport}: an event before joining closes the session`, async () => {
    const session = await start();
    await sendFatal(session, message('too early'));
    await isClosed(session);
  });

  test(`${transport}: an acknowledgement before joining closes the session`, async () => {
    const session = await start();
    await sendFatal(session, '431["x"]');
    await isClosed(session);
  });

  test(`${transport}: leaving before joining closes the session`, async () => {
    const session = await start();
    await sendFatal(session, '41');
    await isClosed(session);
  });

  test(`${transport}: an event for a namespace that was never joined closes the session`, async () => {
    const session = await start();
    await join(session);
    await sendFatal(session, '42/random,["message","x"]');
    await isClosed(session);
  });

  test(`${transport}: who has left may join again, as somebody else`, async (t) => {
    if (!suite.claims(t, 'rejoin', 'a session has one connection')) return;
    const session = await start();
    const before = await join(session);
    await session.send('41');
    await session.settle();
    const now = await join(session, { again: true });
    assert.notEqual(now.sid, before.sid);
    assert.deepEqual(now.auth, { again: true });
    await echoes(session);
  });

  test(`${transport}: an event after leaving closes the session`, async (t) => {
    if (!suite.claims(t, 'exact', 'the session of engineioxide ends with the leaving')) return;
    const session = await start();
    await join(session);
    await session.send('41');
    await session.settle();
    await sendFatal(session, message('too late'));
    await isClosed(session);
  });

  test(`${transport}: a refusal is for the server to say`, async () => {
    const session = await start();
    await join(session);
    await sendFatal(session, '44{"message":"no"}');
    await isClosed(session);
  });
}
