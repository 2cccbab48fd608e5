// The types, checked by Debian's compiler: the README's examples, and valid and invalid calls.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

const TSCONFIG = {
  compilerOptions: {
    strict: true, exactOptionalPropertyTypes: true, noEmit: true, target: 'es2022', lib: ['es2022'],
    module: 'node16', types: [],
  },
};

// The context that the examples assume.
const AROUND = `import type { Backend } from 'recap-credits';
declare global {
  const process: { env: Record<string, string | undefined> };
  const prompt: string;
  function ask(backend: Backend, prompt: string): Promise<{ text: string; cost: number }>;
  function stream(backend: Backend, prompt: string): AsyncIterable<{ text: string; cost: number }>;
  function send(text: string): void;
  function log(error: unknown): void;
}
`;

// Each @ts-expect-error is a mistake that the compiler must find.
const USAGE = `import {
  CreditsClient, CreditsRefusedError, CreditsUnavailableError, initCredits, planBackend, withCredits,
} from 'recap-credits';
import type { CommitOptions, CreditsOptions, ReserveOptions, Row, SettleOptions, Spent } from 'recap-credits';

const none = undefined;
const commit: Required<CommitOptions> = {
  backend: 'gemini', tier: 'core', credits: none, idempotencyKey: none, onUnavailable: none,
};
const reserve: Required<ReserveOptions> = {
  tier: none, hasHardware: none, credits: none, ttlSeconds: none, idempotencyKey: none, onUnavailable: none,
};
const settle: Required<SettleOptions> = { backend: none, credits: none, onUnavailable: none };
const spent: Required<Spent> = { backend: none, credits: none };
const options: Required<CreditsOptions> = {
  url: '', token: none, adminToken: none, onUnavailable: none, timeoutMs: none, attemptTimeoutMs: none,
  connections: none, batchMax: none, tls: none,
};
const client = new CreditsClient(options);

const text: string = await withCredits('a', reserve, ({ use }) => {
  use(spent);
  // @ts-expect-error
  use({ credit: 3 });
  // @ts-expect-error
  use({ credits: '3' });
  // @ts-expect-error
  use();
  return 'text';
});
await client.commitCredit('a', commit);
await client.settle('a', 'id', settle);
const row: Row = await client.getOrCreateRow('a', { onUnavailable: none });
planBackend(row, { core: { lifetime: none, monthly: null } }, { hasHardware: none });
// @ts-expect-error
await initCredits();
// @ts-expect-error
await initCredits({ token: 'x' });
// @ts-expect-error
await client.commitCredit('a', { backend: 'gemini', tier: 'core', credit: 3 });
// @ts-expect-error
await client.commitCredit('a', { backend: 'gpu', tier: 'core' });

try {
  await initCredits(options);
} catch (error) {
  if (error instanceof CreditsRefusedError) { const [code, result]: [string | undefined, unknown] = [error.code, error.result]; }
  if (error instanceof CreditsUnavailableError) { const [done, thrown]: [boolean, unknown] = [error.mayHaveBeenDone, error.thrown]; }
}
`;

// The JavaScript blocks, and the added lines of each diff.
function examples() {
  const readme = readFileSync(path.join(ROOT, 'README.md'), 'utf8');
  return [...readme.matchAll(/```(js|diff)\n(.*?)```/gs)].map(([, kind, text]) => (
    kind === 'js' ? text : text.split('\n').filter((line) => line.startsWith('+')).map((line) => line.slice(1)).join('\n')));
}

function compile(t, files) {
  const directory = mkdtempSync(path.join(tmpdir(), 'credits-types-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const write = (name, text) => writeFileSync(path.join(directory, name), text);
  mkdirSync(path.join(directory, 'node_modules'));
  symlinkSync(ROOT, path.join(directory, 'node_modules/recap-credits'));
  write('package.json', '{"type":"module"}');
  write('tsconfig.json', JSON.stringify(TSCONFIG));
  for (const [name, text] of Object.entries(files)) write(name, text);
  const { error, status, stdout } = spawnSync('tsc', ['--project', directory], { encoding: 'utf8' });
  assert.equal(error, undefined, `${error}: tools/setup --tests installs tsc`);
  return { status, said: stdout };
}

test('the types allow the examples of the README', (t) => {
  const blocks = examples();
  assert.ok(blocks.length >= 4, `${blocks.length} examples`);
  const files = Object.fromEntries(blocks.map((text, i) => [`example${i + 1}.ts`, text]));
  assert.deepEqual(compile(t, { 'around.ts': AROUND, ...files }), { status: 0, said: '' });
});

test('every option may be undefined, and mistakes are found', (t) => {
  assert.deepEqual(compile(t, { 'usage.ts': USAGE }), { status: 0, said: '' });
});
