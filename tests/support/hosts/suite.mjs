// A cluster on hosts of its own for one test: taken down after it, its logs kept where the test failed.

import { test } from 'node:test';

import { closeAll } from '../client.mjs';
import { Site } from './site.mjs';

/**
 * Registers a test that gets a Site.
 *
 * @param {{env?: Record<string, string>, nodes?: string[]}} options as of Site.start
 * @param {(site: Site, context: import('node:test').TestContext) => Promise<void>} body
 */
export function testOnHosts(name, options, body) {
  test(name, { timeout: 240_000 }, async (context) => {
    // Where there can be none this fails, and is not skipped: whoever runs it is to know.
    const site = await Site.start(options);
    let failed = true;
    try {
      await body(site, context);
      failed = false;
    } finally {
      closeAll();
      await site.dispose({ failed });
    }
  });
}

/** A line of the test's output with how long something took; answers the milliseconds. */
export async function timed(context, what, promise) {
  const began = performance.now();
  await promise;
  const ms = Math.round(performance.now() - began);
  context.diagnostic(`${what}: ${ms} ms`);
  return ms;
}
