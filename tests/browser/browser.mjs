// A headless Chromium, and pages of it that record what goes wrong in them.

import { existsSync } from 'node:fs';
import { after, afterEach, before } from 'node:test';

import { chromium } from 'playwright-core';

const EXECUTABLE = process.env.CHROMIUM_BIN ?? '/usr/bin/chromium';

const ARGUMENTS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** How long a page may take for one step, in milliseconds. */
const STEP_MS = 15_000;

/** Registers the hooks, and answers an object whose `open(url)` gives a fresh page once the tests run. */
export function withBrowser() {
  let browser;
  before(async () => {
    if (!existsSync(EXECUTABLE)) {
      throw new Error(`${EXECUTABLE} is missing: apt-get install chromium, or set CHROMIUM_BIN`);
    }
    browser = await chromium.launch({ executablePath: EXECUTABLE, args: ARGUMENTS });
  });
  afterEach(async () => {
    for (const context of browser?.contexts() ?? []) await context.close();
  });
  after(() => browser?.close());
  return {
    /** `faults` fills with what the page's scripts threw and what the console calls an error. */
    async open(url, options = {}) {
      const context = await browser.newContext(options);
      context.setDefaultTimeout(STEP_MS);
      const page = await context.newPage();
      const faults = [];
      page.on('pageerror', (error) => faults.push(error.message));
      page.on('console', (message) => {
        if (message.type() === 'error') faults.push(message.text());
      });
      await page.goto(url);
      return { page, faults };
    },
  };
}
