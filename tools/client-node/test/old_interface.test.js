// The old module's functions, by the same names.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import test from 'node:test';
import {
  closeCredits, commitCredit, computeRemaining, getOrCreateRow, initCredits, planBackend, snapshotAll,
} from '../index.js';
import { ADMIN, RELAY, row, starter } from './harness.js';

const decisions = JSON.parse(readFileSync(new URL('../../../tests/data/decisions.json', import.meta.url)));

async function init(t, options = {}) {
  const server = await starter(t).server(options);
  await initCredits({ url: server.url, token: server.token || undefined });
  t.after(closeCredits);
  return server;
}

test('balances and plans match the old module’s', () => {
  assert.ok(decisions.length > 100);
  for (const { row: asked, quota, has_hardware: hasHardware, balance, plan } of decisions) {
    assert.deepEqual(computeRemaining(asked, quota), balance);
    assert.deepEqual(planBackend(asked, quota, { hasHardware }), plan);
  }
});

test('a tier named like an inherited property is not in the quota', () => {
  const quota = { core: { lifetime: 3 } };
  assert.equal(computeRemaining(row('a', { tier_snapshot: 'constructor' }), quota).remaining, 3);
});

test('the pure functions change neither row nor quota', () => {
  const [{ row: asked, quota }] = decisions;
  const before = structuredClone([asked, quota]);
  planBackend(asked, quota, { hasHardware: true });
  assert.deepEqual([asked, quota], before);
});

test('a new row has the eight fields and nothing consumed', async (t) => {
  await init(t);
  const { last_active_at: at, month, ...fields } = await getOrCreateRow('phone-1');
  assert.deepEqual(fields, {
    install_id: 'phone-1', tier_snapshot: 'core', lifetime_consumed: 0, lifetime_gemini_consumed: 0,
    monthly_consumed: 0, monthly_gemini_consumed: 0,
  });
  assert.match(at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.equal(month, at.slice(0, 7));
});

test('commits debit one credit each, by tier and backend', async (t) => {
  await init(t);
  for (const [tier, backend] of [['core', 'gemini'], ['core', 'hardware'], ['pro', 'gemini'], ['pro', 'hardware']]) {
    assert.equal(await commitCredit('phone-1', { backend, tier }), undefined);
  }
  const { tier_snapshot: tier, ...consumed } = await getOrCreateRow('phone-1');
  assert.equal(tier, 'pro');
  assert.deepEqual([consumed.lifetime_consumed, consumed.lifetime_gemini_consumed], [2, 1]);
  assert.deepEqual([consumed.monthly_consumed, consumed.monthly_gemini_consumed], [2, 1]);
});

test('the snapshot has all rows, equal to those from single calls', async (t) => {
  const now = new Date().toISOString();
  const rows = ['a/b', 'phone-1', 'x'].map((id) => row(id, { month: now.slice(0, 7), monthly_consumed: 4 }));
  await init(t, { rows });
  assert.deepEqual(await snapshotAll(), rows);
  assert.deepEqual(await Promise.all(rows.map(({ install_id: id }) => getOrCreateRow(id))), rows);
});

test('calls before initCredits fail with that reason', async () => {
  await assert.rejects(getOrCreateRow('a'), /initCredits/);
  await assert.rejects(snapshotAll(), /initCredits/);
});

test('an id is required, and an invalid one is not sent', async (t) => {
  await init(t);
  await assert.rejects(getOrCreateRow(''), { name: 'TypeError', message: /installId/ });
  await assert.rejects(getOrCreateRow(undefined), /installId/);
  await assert.rejects(commitCredit('two words', { backend: 'gemini', tier: 'core' }), /"two words"/);
});

test('a refusal is thrown with the server’s message, and has no effect', async (t) => {
  await init(t);
  const refused = { name: 'CreditsRefusedError', status: 422, code: 'unknown_tier', field: 'tier', message: /"gold"/ };
  await assert.rejects(commitCredit('a', { backend: 'gemini', tier: 'gold' }), refused);
  assert.deepEqual(await snapshotAll(), []);
});

test('initCredits names the server that does not answer, and does not keep it', async () => {
  const options = { url: 'http://127.0.0.1:1', timeoutMs: 500 };
  await assert.rejects(initCredits(options), /the credits service at http:\/\/127\.0\.0\.1:1: .*ECONNREFUSED/);
  await assert.rejects(getOrCreateRow('a'), /initCredits/);
});

test('initCredits names the fault in its options', async () => {
  const url = 'http://127.0.0.1:1';
  for (const [options, message] of [
    [undefined, /^TypeError: the client needs the server's address: { url: 'http:/],
    [null, /^TypeError: the options of the client .*null/],
    ['http://127.0.0.1:1', /^TypeError: the options of the client .*"http:/],
    [{}, /^TypeError: url is needed.*http:/],
    [{ url: undefined, token: 'x' }, /^TypeError: url is needed/],
    [{ url: 'localhost:8787' }, /^TypeError: url.*"localhost:8787"/],
    [{ url, connections: 0 }, /^RangeError: connections.*0/],
    [{ url, token: 'a\nb' }, /^TypeError: token/],
    [{ url, batchMax: 10_000 }, /^RangeError: batchMax.*8192/],
    [{ url, timeout: 5 }, /^TypeError: .*no option timeout:/],
    [{ url, timeoutMs: 2 ** 31 }, /^RangeError: timeoutMs.*2147483648/],
    [{ url, attemptTimeoutMs: '5' }, /^TypeError: attemptTimeoutMs.*"5"/],
    [{ url, onUnavailable: true }, /^TypeError: onUnavailable.*true/],
    [{ url, tls: 'ca.pem' }, /^TypeError: tls/],
    [{ dataDir: '/data' }, /^TypeError: .*no option dataDir: .*url/],
  ]) await assert.rejects(initCredits(options), (error) => message.test(String(error)) || assert.fail(`${message}: ${error}`));
});

test('initCredits recognises that another program answers', async (t) => {
  const other = http.createServer((_, response) => {
    response.writeHead(200, { 'Content-Type': 'application/json' }).end('{"ok":true}');
  });
  other.listen(0, '127.0.0.1');
  await once(other, 'listening');
  t.after(() => other.close());
  await assert.rejects(initCredits({ url: `http://127.0.0.1:${other.address().port}` }), /not from creditsd/);
});

test('a plan names the fault in its arguments', () => {
  const quota = { core: { lifetime: 3 } };
  assert.throws(() => planBackend(row('a'), quota, { has_hardware: true }), /no option has_hardware/);
  assert.throws(() => planBackend(row('a'), {}, {}), { name: 'TypeError', message: /core/ });
  assert.throws(() => computeRemaining(row('a')), { name: 'TypeError', message: /quota/ });
  assert.equal(planBackend(row('a'), quota).backend, 'gemini');
});

test('a server with tokens requires one, and an admin’s for the snapshot', async (t) => {
  const server = await starter(t).server({ tokens: true });
  t.after(closeCredits);
  const { url } = server;
  await assert.rejects(initCredits({ url }), /unauthorized/);
  await assert.rejects(initCredits({ url, token: 'wrong' }), /unauthorized/);
  await initCredits({ url, token: RELAY });
  const created = await getOrCreateRow('a');
  await assert.rejects(snapshotAll(), { status: 403, code: 'forbidden' });
  await initCredits({ url, token: RELAY, adminToken: ADMIN });
  assert.deepEqual(await snapshotAll(), [created]);
});
