// Socket.IO 5: events and acknowledgements in every form that is allowed.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CALM, withEcho } from './support/echo.mjs';
import { echoes, eventOf, join, message, OPENERS } from './support/session.mjs';

const suite = withEcho(CALM);

for (const [transport, open] of Object.entries(OPENERS)) {
  const joined = async () => {
    const session = await open(suite.echo);
    await join(session);
    return session;
  };

  test(`${transport}: arguments of every kind come back as they were`, async () => {
    const session = await joined();
    await echoes(session, 1, '2', { 3: [false] });
    await echoes(session, null, true, -1.5e-7, 2 ** 53 - 1, '', [], {}, [[]], [null]);
    await echoes(session, ...Array.from({ length: 500 }, (_, number) => number));
    await session.send('42["message"]');
    assert.equal(await session.next(), '42["message-back"]');
  });

  test(`${transport}: text of every kind comes back as it was`, async () => {
    const session = await joined();
    const texts = [
      'é', '€', '😀', '👩‍👩‍👧‍👧', '\u2028\u2029', '\u0000\u001f\u007f', '"\\/', '\x1e', ']}',
      '\ufeff', '\uffff', '42["message","x"]',
    ];
    for (const text of texts) await echoes(session, text, { [text]: text });
  });

  test(`${transport}: white space and escapes of JSON are no matter`, async () => {
    const session = await joined();
    await session.send('42[ "mess\\u0061ge" ,\t"\\ud83d\\ude00",\n{ "a" : 1 } ] ');
    assert.deepEqual(eventOf(await session.next()), ['message-back', '😀', { a: 1 }]);
  });

  test(`${transport}: lone surrogates do no harm`, async () => {
    const session = await joined();
    await session.send('421["message-with-ack","\\ud800"]').catch(() => {});
    const other = await joined();
    await echoes(other);
  });

  test(`${transport}: acknowledged with the same arguments`, async () => {
    const session = await joined();
    await session.send('42456["message-with-ack",1,"2",{"3":[false]}]');
    assert.equal(await session.next(), '43456[1,"2",{"3":[false]}]');
    await session.send('427["message-with-ack"]');
    assert.equal(await session.next(), '437[]');
  });

  for (const id of ['0', '1', '4294967296', String(Number.MAX_SAFE_INTEGER)]) {
    test(`${transport}: acknowledged under the number ${id}`, async () => {
      const session = await joined();
      await session.send(`42${id}["message-with-ack","x"]`);
      assert.equal(await session.next(), `43${id}["x"]`);
    });
  }

  test(`${transport}: acknowledgements of one session come in the order of its events`, async () => {
    const session = await joined();
    for (let id = 0; id < 200; id += 1) await session.send(`42${id}["message-with-ack",${id}]`);
    for (let id = 0; id < 200; id += 1) assert.equal(await session.next(), `43${id}[${id}]`);
  });

  test(`${transport}: the server's own question is acknowledged`, async () => {
    const session = await joined();
    for (let round = 0; round < 3; round += 1) {
      await session.send('42["ask"]');
      const [, id, json] = /^42(\d+)(\[.*)$/.exec(await session.next());
      assert.equal(JSON.parse(json)[0], 'question');
      await session.send(`43${id}["answer",{"round":${round}}]`);
      assert.deepEqual(eventOf(await session.next()), ['answered', 'answer', { round }]);
    }
  });

  test(`${transport}: an acknowledgement that nobody waits for is ignored, and so is a second one`, async () => {
    const session = await joined();
    await session.send('43999["nobody asked"]');
    await echoes(session);
    await session.send('42["ask"]');
    const [, id] = /^42(\d+)\[/.exec(await session.next());
    await session.send(`43${id}["first"]`);
    await session.send(`43${id}["second"]`);
    assert.deepEqual(eventOf(await session.next()), ['answered', 'first']);
    await echoes(session);
  });

  test(`${transport}: an event that nobody listens to is ignored`, async () => {
    const session = await joined();
    await session.send('42["nobody listens",1]');
    await session.send('425["nobody listens",1]');
    for (const name of ['', 'toString', '__proto__', 'constructor', 'é😀', 'x'.repeat(10_000)]) {
      await session.send(`42${JSON.stringify([name, 1])}`);
    }
    await echoes(session);
  });

  test(`${transport}: an acknowledgement where none is asked for is not sent`, async () => {
    const session = await joined();
    await session.send(message('no number'));
    assert.equal(await session.next(), '42["message-back","no number"]');
    await echoes(session);
  });

  test(`${transport}: an event as large as a message may be comes back`, async () => {
    const session = await joined();
    const frame = message('').length;
    await echoes(session, 'x'.repeat(1_000_000 - frame - 1));
    await echoes(session, '😀'.repeat(200_000));
  });

  test(`${transport}: many at once come in order, without a gap`, async () => {
    const session = await joined();
    await session.send('42["many",5000]');
    const first = eventOf(await session.next())[1];
    for (let number = 1; number < 5_000; number += 1) {
      assert.deepEqual(eventOf(await session.next()), ['one', first + number]);
    }
    await echoes(session);
  });

  test(`${transport}: deep but sensible nesting comes back`, async () => {
    const session = await joined();
    const deep = '['.repeat(100) + ']'.repeat(100);
    await session.send(`42["message",${deep}]`);
    assert.equal(await session.next(), `42["message-back",${deep}]`);
  });
}

test('sessions do not see one another', async () => {
  const [one, other] = [await OPENERS.websocket(suite.echo), await OPENERS.polling(suite.echo)];
  await join(one);
  await join(other);
  for (let round = 0; round < 20; round += 1) {
    await one.send(message('one', round));
    await other.send(message('other', round));
    assert.deepEqual(eventOf(await one.next()), ['message-back', 'one', round]);
    assert.deepEqual(eventOf(await other.next()), ['message-back', 'other', round]);
  }
});
