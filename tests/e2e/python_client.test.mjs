// python-socketio, a client of another language, does a chat's main job: tests/clients/python/main_job.py. Its AsyncClient does more,
// where the other tests run with it (support/clients/python.mjs).

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { promisify } from 'node:util';

import { usersOnDifferentSpears } from '../support/client.mjs';
import { CLIENTS, python } from '../support/python.mjs';
import { unique, withCluster } from '../support/suite.mjs';

// Over polling the library's disconnect() now and then says no goodbye, and returns with the next ping.
const suite = withCluster({ env: { PHALANX__SPEAR__SOCKET__PING_INTERVAL_MS: '3000' } });
const run = promisify(execFile);
const BUDGET_MS = 60_000;

let interpreter;
before(async () => (interpreter = await python()));

for (const [kind, transport] of [['sync', 'websocket'], ['sync', 'polling'], ['sync', 'both'], ['async', 'both']]) {
  test(`python-socketio, ${kind}, over ${transport === 'both' ? 'polling, then websocket' : transport}`, async () => {
    const users = Object.values(await usersOnDifferentSpears(suite.cluster, unique('p')));
    const tokens = await Promise.all(users.map((user) => suite.cluster.token(user)));
    const job = [join(CLIENTS, 'main_job.py'), kind, transport, suite.cluster.ticketUrl, ...tokens];
    // What it prints on its way out says what went wrong.
    await run(interpreter, job, { timeout: BUDGET_MS }).catch((error) => {
      throw new Error(`${error.stdout}${error.stderr || error.message}`);
    });
  });
}
