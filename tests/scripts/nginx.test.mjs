// The nginx sample of deploy/nginx/ in front of a running cluster: what gets through, and what does not.

import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';

import { Client, directConversation, usersOnDifferentSpears } from '../support/client.mjs';
import { freePorts, Nginx, SPEARS, TICKETS } from '../support/nginx.mjs';
import { unique, withCluster } from '../support/suite.mjs';

const API_KEY = 'a-key-of-the-nginx-test';
// More than all tests together ask for from 127.0.0.1.
const BURST = 200;
// Of this machine, and nothing listens there: a connection is refused.
const DEAD = ['127.0.0.98', '127.0.0.99'];
const ports = await freePorts();

describe('nginx in front of the cluster', () => {
  const suite = withCluster({
    env: {
      PHALANX__SPEAR__PUBLIC_URL: `https://${SPEARS}:${ports.open}`,
      PHALANX__TICKET__LIMITS__TRUST_FORWARDED_FOR: 'true',
      PHALANX__TICKET__LIMITS__ADDRESS_PER_SECOND: '1',
      PHALANX__TICKET__LIMITS__ADDRESS_BURST: String(BURST),
      PHALANX__STAT__API_KEYS: `["${API_KEY}"]`,
    },
  });
  let nginx;

  before(async () => {
    const port = (base) => base + suite.cluster.offset;
    nginx = await Nginx.start(ports, {
      'spear-a': 'spear-1',
      'spear-b': 'spear-2',
      'spear-c': 'spear-3',
      '10.0.0.11:20000': `127.0.0.1:${port(20000)}`,
      '10.0.0.12:20000': `${DEAD[0]}:${port(20000)}`,
      '10.0.0.13:20000': `${DEAD[1]}:${port(20000)}`,
      '10.0.0.11:30001': `127.0.0.1:${port(30001)}`,
      '10.0.0.12:30001': `127.0.0.1:${port(30002)}`,
      '10.0.0.13:30001': `${DEAD[0]}:${port(30001)}`,
      '10.0.0.11:40000': `127.0.0.1:${port(40000)}`,
      '10.0.0.11:50100': `127.0.0.1:${port(50100)}`,
      '10.0.0.12:50100': `127.0.0.1:${port(50101)}`,
      '10.0.0.13:50100': `${DEAD[0]}:${port(50100)}`,
      '10.0.0.11:50011': `127.0.0.1:${port(50011)}`,
      '10.0.0.11:50120': `127.0.0.1:${port(50120)}`,
      '10.0.0.11:30501': `127.0.0.1:${port(30501)}`,
      '10.0.0.11:20100': `127.0.0.1:${port(20100)}`,
      '10.0.0.11:40100': `127.0.0.1:${port(40100)}`,
      'allow 10.0.0.0/24': 'allow 127.0.0.1',
    });
  });

  after(() => nginx?.dispose());

  /** A ticket, asked for through nginx. */
  async function ask(token, options = {}) {
    const headers = { authorization: `Bearer ${token}`, ...options.headers };
    return nginx.ask('POST', TICKETS, '/v1/tickets', { ...options, headers });
  }

  async function connect(user, socket) {
    const { status, body } = await ask(await suite.cluster.token(user));
    assert.equal(status, 200, body);
    return Client.withTicket(JSON.parse(body), user, { agent: nginx.agent(), ...socket });
  }

  /** A request to the control listener from one of this machine's addresses. */
  function control(path, { from = '127.0.0.1', headers = {} } = {}) {
    const options = { host: '127.0.0.1', port: ports.control, path, headers, localAddress: from, agent: false };
    return new Promise((resolve, reject) => {
      http.get(options, (response) => {
        response.setEncoding('utf8');
        let body = '';
        response.on('data', (text) => (body += text));
        response.on('end', () => resolve({ status: response.statusCode, body }));
      }).on('error', reject);
    });
  }

  for (const transports of [['websocket'], ['polling'], ['polling', 'websocket']]) {
    test(`two users on two spears talk over ${transports.join(', then ')}`, async () => {
      const users = Object.values(await usersOnDifferentSpears(suite.cluster, unique('nginx')));
      const [one, other] = await Promise.all(users.map((user) => connect(user, { transports })));
      assert.notEqual(one.node, other.node);
      assert.equal(other.socket.raw.io.uri, `https://${SPEARS.replace('++', other.node.at(-1))}:${ports.open}`);
      for (let number = 1; number <= 3; number += 1) await one.sendTo(other.user, number);
      const came = await other.receives(directConversation(...users), 3);
      assert.deepEqual(came.map(({ body }) => body), [1, 2, 3]);
    });
  }

  test('a ticket node that is dead fails no request', async () => {
    const token = await suite.cluster.token(unique('nginx'));
    for (let number = 0; number < 20; number += 1) {
      const { status, body } = await ask(token, { from: '127.0.0.10' });
      assert.equal(status, 200, body);
    }
    for (const address of DEAD) {
      assert.match(nginx.errorLog(), new RegExp(`connect\\(\\) failed .* "http://${address}:\\d+/v1/tickets"`));
    }
  });

  test('ticket counts the address of the client, whatever the client says', async () => {
    const token = await suite.cluster.token(unique('nginx'));
    const statuses = [];
    for (let number = 0; number < BURST * 2; number += 1) {
      const headers = { 'x-forwarded-for': `192.0.2.${number}` };
      statuses.push((await ask(token, { from: '127.0.0.11', headers })).status);
    }
    assert.equal(statuses[0], 200);
    // One a second is let through again.
    assert.ok(statuses.slice(-20).filter((status) => status === 429).length >= 15, `${statuses.slice(-20)}`);
    assert.equal((await ask(token, { from: '127.0.0.12' })).status, 200, 'another client has a budget of its own');
  });

  test('a refusal comes in the words of the node behind', async () => {
    const refused = await ask('nonsense');
    assert.equal(refused.status, 401);
    assert.equal(JSON.parse(refused.body).code, 'token_invalid');
    const large = await ask('nonsense', { body: ' '.repeat(20_000) });
    assert.equal(large.status, 413);
    assert.equal(JSON.parse(large.body).code, 'too_large');
  });

  test('nothing of the inside is on the public listener', async () => {
    const inside = [
      '/', '/dev/token', '/v1/totals', '/v1/cluster', '/v1/messages', '/v1/tickets/', '/api/cluster', '/healthz', '/readyz',
      '/metrics', '/admin/', '/nodes/spear/readyz', '/dev/../v1/totals', '/v1/tickets/../totals', '//dev/token',
    ];
    for (const name of [TICKETS, SPEARS.replace('++', '1')]) {
      for (const path of inside) {
        for (const method of ['GET', 'POST']) {
          const { status, body } = await nginx.ask(method, name, path, { headers: { authorization: `Bearer ${API_KEY}` } });
          assert.equal(status, 404, `${method} ${name}${path}: ${status} ${body}`);
          assert.match(body, /nginx/, `${method} ${name}${path} was answered behind nginx`);
        }
      }
    }
    assert.equal((await nginx.ask('POST', SPEARS.replace('++', '1'), '/v1/tickets')).status, 404);
    assert.equal((await nginx.ask('GET', TICKETS, '/socket.io/?EIO=4&transport=polling')).status, 404);
  });

  test('a name that is not ours is not answered', async () => {
    await assert.rejects(nginx.ask('GET', 'other.example.com', '/v1/tickets'), /unrecognized name/);
    const headers = { host: 'other.example.com' };
    await assert.rejects(nginx.ask('GET', TICKETS, '/v1/tickets', { headers }), /socket hang up/);
  });

  test('the control listener shows the inside to its own network only', async () => {
    const headers = { authorization: `Bearer ${API_KEY}` };
    const totals = await control('/v1/totals', { headers });
    assert.equal(totals.status, 200, totals.body);
    assert.equal(typeof JSON.parse(totals.body).connections, 'number');
    assert.equal((await control('/v1/totals')).status, 401, 'the key is asked for');
    assert.match((await control('/')).body, /<!doctype html>/i);
    for (const role of ['idgen', 'stat', 'spear', 'ticket', 'minions-ui']) {
      const { status, body } = await control(`/nodes/${role}/readyz`);
      assert.equal(status, 200, body);
      assert.equal(JSON.parse(body).role, role);
      assert.equal((await control(`/nodes/${role}/admin/drain`)).status, 404);
    }
    for (const path of ['/', '/v1/totals', '/nodes/spear/metrics']) {
      assert.equal((await control(path, { from: '127.0.0.2', headers })).status, 403, path);
    }
  });
});
