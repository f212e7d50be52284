// The official clients v4, v3 and v2 on every transport: what they send comes back.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { until } from '../support/wait.mjs';
import { withEcho } from './support/echo.mjs';
import { ANSWER_MS } from './support/queue.mjs';
import { ask, begin, CLIENTS, connect, echoed, nextEvent } from './support/official.mjs';

// Long enough for a machine that does something else; short enough for heartbeats to come while these tests run.
const suite = withEcho({ pingIntervalMs: 500, pingTimeoutMs: 5_000, connectTimeoutMs: 60_000 });

const TEXTS = ['é€', '😀', '👩‍👩‍👧‍👧', '\u2028\u2029', '\u0000', '\x1e', '"\\', '', 'a😀'.repeat(1_000)];

for (const client of CLIENTS) {
  test(`${client.name}: 1,000 messages come back in order`, async () => {
    const socket = await connect(suite.echo, client);
    const messages = Array.from({ length: 1_000 }, (_, number) => [number, `text ${number}`]);
    assert.deepEqual(await echoed(socket, messages), messages);
  });

  test(`${client.name}: 1,000 messages of the server come in order`, async () => {
    const socket = await connect(suite.echo, client);
    const numbers = [];
    socket.on('one', (number) => numbers.push(number));
    socket.emit('many', 1_000);
    await until(() => numbers.length === 1_000, ANSWER_MS, () => `${numbers.length} of 1,000 came`);
    assert.deepEqual(numbers, Array.from({ length: 1_000 }, (_, number) => numbers[0] + number));
  });

  test(`${client.name}: messages that are sent while it connects or upgrades come back in order`, async () => {
    const socket = await begin(suite.echo, client);
    const messages = Array.from({ length: 300 }, (_, number) => [number]);
    assert.deepEqual(await echoed(socket, messages), messages);
  });

  test(`${client.name}: its events are acknowledged, each with its own`, async () => {
    const socket = await connect(suite.echo, client);
    assert.deepEqual(await ask(socket, 'message-with-ack'), []);
    assert.deepEqual(await ask(socket, 'message-with-ack', 1, '2', { 3: [false, null] }), [1, '2', { 3: [false, null] }]);
    const answers = await Promise.all(Array.from({ length: 300 }, (_, number) => ask(socket, 'message-with-ack', number)));
    assert.deepEqual(answers, answers.map((_, number) => [number]));
  });

  test(`${client.name}: it acknowledges the server's`, async () => {
    const socket = await connect(suite.echo, client);
    socket.on('question', (...args) => args.at(-1)('answer', { of: client.name }));
    for (let round = 0; round < 3; round += 1) {
      const answered = nextEvent(socket, 'answered');
      socket.emit('ask');
      assert.deepEqual(await answered, ['answer', { of: client.name }]);
    }
  });

  test(`${client.name}: text of every kind comes back`, async () => {
    const socket = await connect(suite.echo, client);
    const messages = TEXTS.map((text) => [text, { [text]: [text] }]);
    assert.deepEqual(await echoed(socket, messages), messages);
  });

  test(`${client.name}: a body of 500 KB comes back`, async () => {
    const socket = await connect(suite.echo, client);
    // All of it fits into one body as well: that is what a client posts that was still posting a pong.
    const large = { body: 'x'.repeat(490_000) };
    assert.deepEqual(await echoed(socket, [[large], ['small'], [large]]), [[large], ['small'], [large]]);
    const unicode = '😀'.repeat(120_000);
    assert.deepEqual(await ask(socket, 'message-with-ack', unicode), [unicode]);
  });

  test(`${client.name}: 50 at once, each with its own messages`, async () => {
    const sockets = await Promise.all(Array.from({ length: 50 }, () => connect(suite.echo, client)));
    assert.equal(new Set(sockets.map(({ id }) => id)).size, 50);
    await Promise.all(
      sockets.map(async (socket, number) => {
        const messages = Array.from({ length: 20 }, (_, round) => [number, round]);
        assert.deepEqual(await echoed(socket, messages), messages);
      }),
    );
  });
}

for (const version of ['v4', 'v3']) {
  test(`${version}: auth comes to the server`, async () => {
    const auth = { ticket: 'a.b.c', name: 'é😀' };
    const socket = await connect(suite.echo, { version, transport: 'websocket' }, { auth });
    assert.deepEqual(await until(() => socket.given, ANSWER_MS, 'the server says what it got'), auth);
  });

  test(`${version}: a namespace that does not exist is refused, and the default one lives on`, async (t) => {
    if (suite.echo.claims.namespaces) return t.skip('the server has namespaces');
    const socket = await connect(suite.echo, { version, transport: 'websocket' });
    const other = socket.io.socket('/other');
    const refused = nextEvent(other, 'connect_error');
    other.connect();
    assert.equal((await refused)[0].message, 'Invalid namespace');
    assert.deepEqual(await echoed(socket, [['still here']]), [['still here']]);
  });
}
