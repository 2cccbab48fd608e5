// Runs the real creditsd and a headless Chromium, and watches every page for what no page may do: break the
// Content-Security-Policy, write an error, open a dialog, ask another server.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const BINARY = path.resolve(
  process.env.CREDITSD ?? fileURLToPath(new URL('../../build/release/bin/creditsd', import.meta.url)));
const BROWSER = process.env.CHROMIUM ?? '/usr/bin/chromium';
const SCREENSHOTS = process.env.DASHBOARD_SCREENSHOTS;
const DESKTOP = { width: 1440, height: 900 };
const WAIT_MS = 20_000; // a sanitizer's build on a busy machine is slow

export const ADMIN = 'admin-token-of-the-tests';
export const RELAY = 'relay-token-of-the-tests';

export async function eventually(look, what) {
  const deadline = Date.now() + WAIT_MS;
  for (;;) {
    const found = await look();
    if (found) return found;
    assert.ok(Date.now() < deadline, `${what} did not happen in ${WAIT_MS / 1000} s`);
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
}

// --- creditsd

const children = new Set();
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));

export class Server {
  static async start({ rows, quota, tokens = false } = {}) {
    const server = new Server();
    server.directory = mkdtempSync(path.join(tmpdir(), 'creditsd-dashboard-'));
    server.token = tokens ? ADMIN : '';
    server.listen = '127.0.0.1:0';
    server.flags = ['--data-dir', server.file('data')];
    mkdirSync(server.file('data'));
    if (rows) {
      const ledger = { rows: Object.fromEntries(rows.map((row) => [row.install_id, row])) };
      writeFileSync(server.file('data/credits.json'), JSON.stringify(ledger));
    }
    if (quota) writeFileSync(server.file('data/quota.json'), JSON.stringify(quota));
    if (tokens) {
      writeFileSync(server.file('admin'), `${ADMIN}\n`, { mode: 0o600 });
      writeFileSync(server.file('relay'), `${RELAY}\n`, { mode: 0o600 });
      server.flags.push('--admin-token-file', server.file('admin'), '--relay-token-file', server.file('relay'));
    }
    await server.run();
    return server;
  }

  file(name) {
    return path.join(this.directory, name);
  }

  // On the port it had before, if it ran before.
  async run() {
    const child = spawn(BINARY, ['--listen', this.listen, ...this.flags], { stdio: ['ignore', 'pipe', 'pipe'] });
    let log = '';
    child.stderr.on('data', (data) => { log += data; });
    let said = '';
    child.stdout.on('data', (data) => { said += data; });
    this.child = child;
    children.add(child);
    child.on('exit', () => children.delete(child));
    this.ended = new Promise((resolve) => { child.on('exit', resolve); });
    const port = await eventually(() => {
      assert.equal(child.exitCode, null, `creditsd ended at start: ${log}`);
      return /listening on http:\/\/127\.0\.0\.1:(\d+)/.exec(said)?.[1];
    }, 'the line `listening on`');
    this.listen = `127.0.0.1:${port}`;
    this.url = `http://127.0.0.1:${port}`;
  }

  async stop() {
    this.child.kill('SIGTERM');
    await this.ended;
  }

  async remove() {
    await this.stop();
    rmSync(this.directory, { recursive: true });
  }

  async call(method, target, body) {
    const headers = { 'Content-Type': 'application/json' };
    if (this.token) headers.Authorization = `Bearer ${this.token}`;
    const answer = await fetch(this.url + target, { method, headers, body: body && JSON.stringify(body) });
    const text = await answer.text();
    assert.ok(answer.ok, `${method} ${target}: ${answer.status} ${text}`);
    return JSON.parse(text);
  }

  commit(id, fields = {}) {
    return this.call('POST', `${pathOf(id)}/commit`, { backend: 'gemini', tier: 'core', ...fields });
  }
}

export function pathOf(id) {
  return `/v1/installs/${encodeURIComponent(id)}`;
}

export function row(id, fields = {}) {
  return {
    install_id: id, tier_snapshot: 'core', lifetime_consumed: 0, lifetime_gemini_consumed: 0,
    month: '2026-01', monthly_consumed: 0, monthly_gemini_consumed: 0,
    last_active_at: '2026-01-10T00:00:00.000Z', ...fields,
  };
}

// --- Chromium

// For a test file: one browser. What a test opens and starts is closed again, the last first.
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
    // `refusals`: this test has the server refuse or fail, which Chromium writes to the console.
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

// Without Playwright's own style element, which the Content-Security-Policy refuses.
export async function screenshot(page, name) {
  if (!SCREENSHOTS) return;
  mkdirSync(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: path.join(SCREENSHOTS, `${name}.png`), caret: 'initial' });
}

export async function rowsOf(page, selector) {
  return page.locator(`${selector} tbody tr`).evaluateAll((rows) =>
    rows.map((shown) => [...shown.cells].map((cell) => cell.innerText.trim())));
}
