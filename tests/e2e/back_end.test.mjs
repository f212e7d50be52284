// The example of a back end, examples/back-end/back_end.py: it answers users, lets them into a group and out of it, and misses nothing
// that was written while it was away.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { Client, directConversation } from '../support/client.mjs';
import { Process, ROOT } from '../support/process.mjs';
import { API_KEY } from '../support/profile.mjs';
import { python } from '../support/python.mjs';
import { unique, withCluster } from '../support/suite.mjs';
import { until } from '../support/wait.mjs';

const DONE_MS = 30_000;
const SECRET = `whsec_${randomBytes(32).toString('base64')}`;

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

describe('the back end of the examples', () => {
  const options = { env: {} };
  let port;
  let interpreter;
  let backEnd;
  before(async () => {
    [port, interpreter] = await Promise.all([freePort(), python()]);
    Object.assign(options.env, {
      PHALANX__STAT__WEBHOOKS__URL: `http://127.0.0.1:${port}/phalanx`,
      PHALANX__STAT__WEBHOOKS__SECRET: SECRET,
      PHALANX__STAT__WEBHOOKS__RETRY_MAX_MS: '500',
    });
  });
  const suite = withCluster(options);
  after(() => backEnd?.kill9());

  function start() {
    const { cluster } = suite;
    backEnd = new Process(interpreter, [join(ROOT, 'examples', 'back-end', 'back_end.py')], {
      env: { ...process.env, PHALANX_API: cluster.statUrl, PHALANX_API_KEY: API_KEY, WEBHOOK_SECRET: SECRET, PORT: String(port) },
      log: join(cluster.logs, 'back-end'),
    });
  }

  const bodies = (client, conversation) => client.in(conversation).map(({ body }) => body);

  /** Where it does not come, says what the client was told and what is stored. */
  async function hears(client, conversation, body) {
    try {
      await until(() => bodies(client, conversation).includes(body), DONE_MS, `${client.user} is told ${JSON.stringify(body)}`);
    } catch (error) {
      const path = `/v1/conversations/${encodeURIComponent(conversation)}/messages?after=0&limit=100`;
      const stored = (await suite.cluster.stat('GET', path)).body;
      const found = { disconnected: client.disconnected, told: client.events, stored, members: await members() };
      throw new Error(`${error.message}: ${JSON.stringify(found)}`);
    }
  }

  const members = async () => (await suite.cluster.stat('GET', '/v1/groups/team/members')).body.members;

  test('it answers, lets users in and out, and makes up for the time when it was away', async () => {
    start();
    const [alice, bob] = await Promise.all([unique('a'), unique('b')].map((user) => Client.connect(suite.cluster, user)));
    const withConcierge = directConversation(alice.user, 'concierge');
    // The first message may come before anybody listens: it is said until there is an answer.
    let tries = 0;
    await until(
      async () => {
        tries += 1;
        await alice.sendTo('concierge', 'hello?');
        return bodies(alice, withConcierge).some((body) => body.includes('"join"'));
      },
      DONE_MS,
      'the concierge answers',
    );
    await alice.sendTo('concierge', 'join');
    await hears(alice, 'g:team', `${alice.user} has come in`);

    await backEnd.kill9();
    await bob.sendTo('concierge', 'join');
    await alice.sendTo('concierge', 'leave');
    start();
    await hears(bob, 'g:team', `${bob.user} has come in`);
    await hears(alice, withConcierge, 'You have left the team.');
    assert.deepEqual(await members(), [bob.user, 'concierge'].sort());
    const answers = bodies(alice, withConcierge).filter((body) => body.includes('"join"'));
    assert.ok(answers.length <= tries, `${answers.length} answers to ${tries} questions`);
  });
});
