// A token that expires ends the connection; one that is refreshed in time does not.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Client, askTicket } from '../support/client.mjs';
import { inSeconds, sign } from '../support/jwt.mjs';
import { unique, withCluster } from '../support/suite.mjs';

const suite = withCluster();
const MINUTE = 60;

function token(claims) {
  return sign({ exp: inSeconds(MINUTE), ...claims }, suite.cluster.key('token'));
}

async function connect(claims) {
  const { status, body } = await askTicket(suite.cluster, token(claims), {});
  assert.equal(status, 200, JSON.stringify(body));
  return Client.withTicket(body, claims.sub);
}

test('a refreshed connection outlives its first token, another one is told that it has expired', async () => {
  const exp = inSeconds(4);
  const [kept, forgotten] = await Promise.all([unique('u'), unique('u')].map((sub) => connect({ sub, exp })));
  const later = inSeconds(MINUTE);
  const { expires_at } = await kept.must('refresh', { token: token({ sub: kept.user, exp: later }) });
  assert.equal(expires_at, later * 1000);
  assert.deepEqual(await forgotten.event('kicked', undefined, 20_000), { reason: 'expired', reconnect: true });
  await forgotten.ended();
  await kept.sendTo(forgotten.user, 'still here');
  assert.equal(kept.disconnected, undefined);
});

test('only a good token of the same user and device counts', async () => {
  const client = await connect({ sub: unique('u'), device: 'phone' });
  const refused = async (payload) => (await client.ask('refresh', payload)).error;
  const sub = client.user;
  for (const [text, fault] of [
    [token({ sub: unique('u') }), /another user/],
    [token({ sub, device: 'pad' }), /another device/],
    [token({ sub, exp: inSeconds(-MINUTE) }), /expired/],
    [sign({ sub, exp: inSeconds(MINUTE) }, { secret: Buffer.from('somebody else signs with a key of theirs') }), /signature/],
    ['no token', /no JWT/],
  ]) {
    const { code, message } = await refused({ token: text });
    assert.equal(code, 'forbidden');
    assert.match(message, fault);
    assert.ok(!message.includes(text), 'a token is not repeated');
  }
  for (const payload of [{}, { token: 1 }, { token: 'a', more: 1 }, null]) {
    assert.equal((await refused(payload)).code, 'bad_request', JSON.stringify(payload));
  }
  await client.must('refresh', { token: token({ sub, device: 'phone' }) });
  await client.must('refresh', { token: token({ sub }) });
});
