// Runs the real creditsd, for tests in JavaScript.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const BINARY = path.resolve(
  process.env.CREDITSD ?? fileURLToPath(new URL('../build/release/bin/creditsd', import.meta.url)));
export const WAIT_MS = 20_000; // sanitizer builds on a busy machine are slow

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

const children = new Set();
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));

export class Server {
  static async start(options) {
    const server = new Server(options);
    await server.run();
    return server;
  }

  // `rows`: for a credits.json to import.
  constructor({ rows, quota, tokens = false } = {}) {
    this.directory = mkdtempSync(path.join(tmpdir(), 'creditsd-test-'));
    this.token = tokens ? ADMIN : '';
    this.listen = '127.0.0.1:0';
    this.flags = ['--data-dir', this.file('data')];
    mkdirSync(this.file('data'));
    if (rows) {
      const ledger = { rows: Object.fromEntries(rows.map((row) => [row.install_id, row])) };
      writeFileSync(this.file('data/credits.json'), JSON.stringify(ledger));
    }
    if (quota) writeFileSync(this.file('data/quota.json'), JSON.stringify(quota));
    if (tokens) {
      writeFileSync(this.file('admin'), `${ADMIN}\n`, { mode: 0o600 });
      writeFileSync(this.file('relay'), `${RELAY}\n`, { mode: 0o600 });
      this.flags.push('--admin-token-file', this.file('admin'), '--relay-token-file', this.file('relay'));
    }
  }

  file(name) {
    return path.join(this.directory, name);
  }

  // Restarts on the same port, if it ran before.
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
    this.url = await eventually(() => {
      assert.equal(child.exitCode, null, `creditsd ended at start: ${log}`);
      return /listening on (https?:\/\/127\.0\.0\.1:\d+)\n/.exec(said)?.[1];
    }, 'the line `listening on`');
    this.listen = new URL(this.url).host;
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
