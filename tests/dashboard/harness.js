// Opens pages of the real creditsd in headless Chromium, and fails if a page breaks the Content-Security-Policy,
// logs an error, opens a dialog, or contacts another server.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { after, afterEach, before } from 'node:test';
import { chromium } from 'playwright-core';
import { Server, WAIT_MS } from '../creditsd.mjs';

export { ADMIN, eventually, pathOf, RELAY, row, Server } from '../creditsd.mjs';

const BROWSER = process.env.CHROMIUM ?? '/usr/bin/chromium';
const SCREENSHOTS = process.env.DASHBOARD_SCREENSHOTS;
const DESKTOP = { width: 1440, height: 900 };

// --- Chromium

// One browser per test file. Everything that a test opens or starts is closed in reverse order.
export function withBrowser() {
  let browser;
  let closers = [];
  before(async () => {
    browser = await chromium.launch({
      executablePath: BROWSER, args: process.getuid() === 0 ? ['--no-sandbox'] : [],
    });
  });
  after(() => browser.close());
  afterEach(async () => {
    const faults = [];
    for (const close of closers.reverse()) faults.push(...await close());
    closers = [];
    assert.deepEqual(faults, []);
  });

  return {
    server: async (options) => {
      const server = await Server.start(options);
      closers.push(async () => {
        await server.remove();
        return [];
      });
      return server;
    },
    // `refusals`: the test makes the server refuse or fail, which Chromium logs to the console.
    page: async (server, { refusals = false, hash = '', token = server.token, ...options } = {}) => {
      const context = await browser.newContext({ viewport: DESKTOP, reducedMotion: 'reduce', ...options });
      const faults = [];
      closers.push(async () => {
        await context.close();
        return faults;
      });
      await watch(context, server, { refusals, faults });
      if (token) await context.addInitScript(keepToken, token);
      const page = await context.newPage();
      page.setDefaultTimeout(WAIT_MS);
      await page.goto(`${server.url}/${hash}`);
      return page;
    },
  };
}

function keepToken(token) {
  if (location.protocol === 'http:') sessionStorage.setItem('creditsd.admin-token', token);
}

async function watch(context, server, { refusals, faults }) {
  await context.exposeBinding('tellViolation', (_, violation) => faults.push(violation));
  await context.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      window.tellViolation(`CSP: ${event.violatedDirective} refused ${event.blockedURI} ${event.sample}`);
    });
  });
  context.on('request', (request) => {
    if (new URL(request.url()).origin !== server.url) faults.push(`asked ${request.url()}`);
  });
  context.on('console', (message) => {
    const refused = refusals && message.text().startsWith('Failed to load resource');
    if (['error', 'warning'].includes(message.type()) && !refused) faults.push(`console: ${message.text()}`);
  });
  context.on('weberror', (error) => faults.push(`error: ${error.error().stack}`));
  context.on('dialog', (dialog) => {
    faults.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
}

export async function ready(page) {
  await page.locator('#content').waitFor();
  await page.locator('#list-loading').waitFor({ state: 'hidden' });
}

// Omits Playwright's own style element, which the Content-Security-Policy refuses.
export async function screenshot(page, name) {
  if (!SCREENSHOTS) return;
  mkdirSync(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: path.join(SCREENSHOTS, `${name}.png`), caret: 'initial' });
}

export async function rowsOf(page, selector) {
  return page.locator(`${selector} tbody tr`).evaluateAll((rows) =>
    rows.map((shown) => [...shown.cells].map((cell) => cell.innerText.trim())));
}
