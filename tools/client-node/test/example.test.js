// The example relay, before and after its one-line change.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually, Server } from './harness.js';

const QUOTA = { core: { lifetime: 10, geminiCapLifetime: 6 }, pro: { monthly: 5 } };
const source = (name) => fileURLToPath(new URL(`../example/${name}.js`, import.meta.url));

async function startRelay(t, name, env) {
  const child = spawn(process.execPath, [source(name)], { env: { ...process.env, PORT: '0', ...env } });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => { said += data; });
  const stop = async () => {
    if (child.exitCode !== null || !child.kill()) return;
    await once(child, 'exit');
  };
  t.after(stop);
  const url = await eventually(() => {
    assert.equal(child.exitCode, null, said);
    return /relay on (\S+)/.exec(said)?.[1];
  }, 'the start of the relay');
  const call = async (target, body) => {
    const answer = await fetch(url + target, { method: body ? 'POST' : 'GET', body: body && JSON.stringify(body) });
    return [answer.status, await answer.json()];
  };
  const ask = (id, tier = 'core') => call('/answer', { install_id: id, tier, prompt: 'cats' });
  return { ask, installs: async () => (await call('/admin/installs'))[1], stop };
}

// An app's view of a relay.
async function session({ ask }) {
  const seen = [];
  for (let n = 0; n < 8; n++) seen.push(await ask('phone-1'));
  for (let n = 0; n < 6; n++) seen.push(await ask('phone-2', 'pro'));
  return seen;
}

const consumed = (rows) => rows.map(({ last_active_at: _, ...row }) => row);

test('a relay changes its import and one call, and keeps its ledger', async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'credits-example-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const quotaFile = path.join(directory, 'quota.json');
  writeFileSync(quotaFile, JSON.stringify(QUOTA));

  const before = await startRelay(t, 'before', { DATA_DIR: directory, QUOTA_FILE: quotaFile });
  const seen = await session(before);
  const rows = await before.installs();
  await before.stop();
  assert.deepEqual(seen.slice(5, 7).map(([status, { backend, reason }]) => [status, backend ?? reason]),
    [[200, 'gemini'], [402, 'gemini_cap_exceeded_no_hardware']]);
  assert.deepEqual(seen.at(-1), [402, { reason: 'out_of_credits' }]);

  const fresh = await Server.start({ quota: QUOTA });
  t.after(() => fresh.remove());
  const after = await startRelay(t, 'after', { CREDITS_URL: fresh.url, QUOTA_FILE: quotaFile });
  assert.deepEqual(await session(after), seen);
  assert.deepEqual(consumed(await after.installs()), consumed(rows));
  await after.stop();

  const moved = new Server({ quota: QUOTA });
  copyFileSync(path.join(directory, 'credits.json'), moved.file('data/credits.json'));
  await moved.run();
  t.after(() => moved.remove());
  const goesOn = await startRelay(t, 'after', { CREDITS_URL: moved.url, QUOTA_FILE: quotaFile });
  assert.deepEqual(await goesOn.installs(), rows);
  assert.deepEqual(await goesOn.ask('phone-2', 'pro'), [402, { reason: 'out_of_credits' }]);
  assert.equal((await goesOn.ask('phone-3'))[0], 200);
});

test('the relay before and after differs in its import, its settings and one call', () => {
  const lines = (name) => readFileSync(source(name), 'utf8').split('\n').slice(1);
  const before = lines('before');
  const after = lines('after');
  const changed = before.flatMap((line, i) => (line === after[i] ? [] : [after[i]]));
  assert.deepEqual(changed.map((line) => /import|process\.env|initCredits/.exec(line)?.[0]),
    ['import', 'process.env', 'initCredits']);
});

test('a relay whose credits service is down answers 503, and gives nothing away', async (t) => {
  const server = await Server.start({ quota: QUOTA });
  t.after(() => server.remove());
  const quotaFile = server.file('data/quota.json');
  const relay = await startRelay(t, 'after', { CREDITS_URL: server.url, QUOTA_FILE: quotaFile });
  assert.equal((await relay.ask('a'))[0], 200);
  await server.stop();
  const [status, { reason }] = await relay.ask('a');
  assert.equal(status, 503);
  assert.match(reason, /no answer from the credits service/);
});
