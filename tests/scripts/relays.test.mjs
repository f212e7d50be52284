// bin/start.sh with a profile whose relay is a broker, as a user types it: the broker is started with everything else, two users talk, and
// stopping ends it too. PHALANX_TEST_RELAYS: which of the profiles can be tried here.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { releaseOffset, reserveOffset } from '../support/ports.mjs';
import { firstConversation, placed, processes, script } from '../support/script.mjs';
import { Server } from '../support/server.mjs';

/** Each profile's servers, by the setting that says where they are, and those that are started with their usual ports. */
const RELAYS = {
  kafka: { setting: 'PHALANX__KAFKA__SERVERS', servers: { kafka: 9092 } },
  rocketmq: { setting: 'PHALANX__ROCKETMQ__NAME_SERVERS', servers: { 'rocketmq-names': 9876, rocketmq: 10911 } },
};
const profiles = (process.env.PHALANX_TEST_RELAYS ?? Object.keys(RELAYS).join(' ')).split(' ').filter(Boolean);

for (const profile of profiles) {
  describe(`bin/start.sh ${profile}`, () => {
    const { setting, servers } = RELAYS[profile];
    const [names] = Object.values(servers);
    let directory;
    let env;
    let offset;
    const data = () => join(directory, 'data', profile);

    before(async () => {
      directory = mkdtempSync(join(tmpdir(), 'phalanx-scripts-'));
      offset = await reserveOffset();
      env = { ...placed(directory, offset), [setting]: `["127.0.0.1:${names + offset}"]` };
    });

    after(async () => {
      await script('stop', [profile], env);
      releaseOffset(offset);
      rmSync(directory, { recursive: true, force: true });
    });

    if (profile === 'rocketmq') {
      test('a name server that knows no broker is refused, and nothing is started', async () => {
        const alone = await Server.start('rocketmq-names', { port: names + offset, directory });
        try {
          const { code, output } = await script('start', [profile], env);
          assert.equal(code, 1, output);
          assert.match(output, /the name server on 127.0.0.1:\d+ knows no broker: start one/);
        } finally {
          await alone.kill9();
        }
        assert.equal((await script('status', [profile], env)).code, 3);
      });
    }

    test('starting starts what nothing answers for, and two users talk', async () => {
      const { code, output } = await script('start', [profile], env);
      assert.equal(code, 0, output);
      for (const server of ['zookeeper', 'redis', ...Object.keys(servers)]) {
        assert.match(output, new RegExp(`^${server}: nothing answers on 127.0.0.1:\\d+, so it is started`, 'm'));
      }
      assert.match(firstConversation(data(), `http://127.0.0.1:${20000 + offset}`), /arrived .*\n.*answers/);
      const status = await script('status', [profile], env);
      for (const server of Object.keys(servers)) assert.match(status.output, new RegExp(`server +${server} +\\(pid \\d+\\)`));
    });

    test('stopping ends the brokers too', async () => {
      const started = processes(data());
      const { code, output } = await script('stop', [profile], env);
      assert.equal(code, 0, output);
      for (const server of Object.keys(servers)) assert.throws(() => process.kill(started[server].pid, 0), /ESRCH/, `${server} is gone`);
    });
  });
}
