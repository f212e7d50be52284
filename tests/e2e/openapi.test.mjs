// /openapi.json on a real cluster, and what a tester makes of it: schemathesis sends what the document allows and what it does not, and
// looks whether the answers are those that it promises.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { promisify } from 'node:util';

import { API_KEY } from '../support/profile.mjs';
import { CLIENTS, python } from '../support/python.mjs';
import { withCluster } from '../support/suite.mjs';

const suite = withCluster();
const run = promisify(execFile);
const BUDGET_MS = 120_000;
// The same calls at each run; more of them find no more here and take longer.
const SEED = '20261121';
const EXAMPLES = '25';

let interpreter;
before(async () => (interpreter = await python()));

test('every stat node gives the same document', async () => {
  const [one, other] = await Promise.all([50100, 50101].map((base) => fetch(`${suite.cluster.url(base)}/openapi.json`)));
  assert.deepEqual([one.status, other.status], [200, 200]);
  assert.equal(await one.text(), await other.text());
});

test('the API is as its document says, whatever is asked', async () => {
  // A group that is there: what is asked of groups with names made up is answered 404 only.
  const made = await suite.cluster.stat('PUT', '/v1/groups/here', {});
  assert.equal(made.status, 201, JSON.stringify(made.body));
  const tool = join(interpreter, '..', 'schemathesis');
  const ask = [`${suite.cluster.statUrl}/openapi.json`, '--header', `Authorization: Bearer ${API_KEY}`];
  const how = ['--continue-on-failure', '--max-examples', EXAMPLES, '--seed', SEED, '--no-color'];
  const all = ['--config-file', join(CLIENTS, 'schemathesis.toml'), 'run', ...ask, ...how];
  // It keeps what it found beside the cluster's data, which goes away.
  const { stdout } = await run(tool, all, { cwd: suite.cluster.directory, timeout: BUDGET_MS }).catch((error) => {
    throw new Error(`${error.stdout}\n${error.stderr || error.message}`);
  });
  const { paths } = await (await fetch(`${suite.cluster.statUrl}/openapi.json`)).json();
  const operations = Object.values(paths).flatMap((item) => Object.keys(item)).length;
  // Not the document itself.
  assert.match(stdout, new RegExp(`Tested: ${operations - 1}\\b`), stdout);
});
