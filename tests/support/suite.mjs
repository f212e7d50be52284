// One cluster for the tests of a file or suite: started before, taken down after, its log printed where a test failed.

import { after, afterEach, before } from 'node:test';

import { closeAll } from './client.mjs';
import { Cluster } from './cluster.mjs';

/**
 * Registers the hooks, and answers an object whose `cluster` is there once the tests run. Clients that a test leaves open are
 * closed after it.
 */
export function withCluster(options) {
  const suite = { cluster: undefined };
  let failed = false;
  before(async () => {
    suite.cluster = await Cluster.start(options);
  });
  afterEach((context) => {
    closeAll();
    failed ||= context.passed === false;
  });
  after(() => suite.cluster?.dispose({ failed }));
  return suite;
}

let names = 0;

/** A name that no other test of this process uses. */
export function unique(prefix) {
  names += 1;
  return `${prefix}-${process.pid}-${names}`;
}
