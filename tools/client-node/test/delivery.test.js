// Delivery of calls: batches, keep-alive connections, and retries without an answer.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually, problem, starter } from './harness.js';

const COMMIT = { backend: 'gemini', tier: 'core' };

// A server, a proxy in front of it, and a client of the proxy.
async function stage(t, options = {}) {
  const start = starter(t);
  const server = await start.server();
  const proxy = await start.proxy(server);
  const client = await start.client({ url: proxy.url, ...options });
  return { server, proxy, client };
}

const consumed = async (client, id) => (await client.getOrCreateRow(id)).lifetime_consumed;

// --- batches

test('calls of one tick are one request, and each has its own answer', async (t) => {
  const { proxy, client } = await stage(t);
  const [row, , refused, reservation] = await Promise.allSettled([
    client.getOrCreateRow('a'), client.commitCredit('b', COMMIT),
    client.commitCredit('c', { ...COMMIT, tier: 'gold' }), client.reserve('d', { credits: 5 }),
  ]);
  assert.deepEqual(proxy.operations().map((operations) => operations.map(({ op }) => op)),
    [['create', 'commit', 'commit', 'reserve']]);
  assert.equal(row.value.install_id, 'a');
  assert.equal(refused.reason.code, 'unknown_tier');
  assert.equal(reservation.value.balance.held, 5);
  assert.equal(await consumed(client, 'b'), 1);
});

test('calls on one install apply in the order they were made', async (t) => {
  const { client } = await stage(t);
  const answers = await Promise.all(Array.from({ length: 20 }, () => client.reserve('a', { credits: 1 })));
  assert.deepEqual(answers.map(({ balance }) => balance.held), Array.from({ length: 20 }, (_, i) => i + 1));
});

test('a call alone is a request of its own', async (t) => {
  const { proxy, client } = await stage(t);
  await client.commitCredit('a/b', COMMIT);
  const { reservation_id: id } = await client.reserve('a/b');
  await client.settle('a/b', id);
  assert.deepEqual(proxy.requests.map(({ method, path }) => [method, path]), [
    ['POST', '/v1/installs/a%2Fb/commit'],
    ['POST', '/v1/installs/a%2Fb/reservations'],
    ['POST', `/v1/installs/a%2Fb/reservations/${id}/commit`],
  ]);
});

test('more calls than fit in a batch make several batches', async (t) => {
  const { proxy, client } = await stage(t, { batchMax: 10 });
  await Promise.all(Array.from({ length: 25 }, (_, i) => client.commitCredit(`i${i % 3}`, COMMIT)));
  assert.deepEqual(proxy.operations().map(({ length }) => length).sort(), [10, 10, 5]);
  assert.equal(await consumed(client, 'i0'), 9);
});

test('a thousand concurrent calls stay within the limit of connections, and reuse them', async (t) => {
  const { proxy, client } = await stage(t, { connections: 3, batchMax: 1 });
  for (let round = 0; round < 3; round++) {
    await Promise.all(Array.from({ length: 300 }, () => client.commitCredit('a', COMMIT)));
  }
  assert.equal(await consumed(client, 'a'), 900);
  assert.equal(proxy.connections, 3);
});

test('an idle connection is closed before the timeout that its server announces', async (t) => {
  const { proxy, client } = await stage(t);
  const ended = new Set();
  proxy.http.keepAliveTimeout = 0; // this server would keep it for ever
  proxy.http.on('connection', (socket) => socket.once('end', () => ended.add(socket)));
  proxy.http.prependListener('request', (_, response) => response.setHeader('Keep-Alive', 'timeout=2'));
  await client.commitCredit('a', COMMIT);
  await eventually(() => ended.size === proxy.connections, 'the end of the idle connection');
  assert.equal(await consumed(client, 'a'), 1);
});

test('calls made while all connections are busy are sent together', async (t) => {
  const { proxy, client } = await stage(t, { connections: 1 });
  const gate = {};
  gate.open = new Promise((resolve) => { gate.release = resolve; });
  proxy.script = (_, count) => (count === 1 ? gate.open.then(() => undefined) : undefined);
  const first = client.commitCredit('a', COMMIT);
  await eventually(() => proxy.requests.length === 1, 'the first request');
  const later = [];
  for (let tick = 0; tick < 5; tick++) {
    later.push(client.commitCredit('a', COMMIT));
    await new Promise(setImmediate);
  }
  gate.release();
  await Promise.all([first, ...later]);
  assert.deepEqual(proxy.operations().map(({ length }) => length), [1, 5]);
  assert.equal(await consumed(client, 'a'), 6);
});

test('a call that got no free connection certainly had no effect', async (t) => {
  const { proxy, client } = await stage(t, { connections: 1, batchMax: 1, timeoutMs: 1500 });
  proxy.script = () => 'hang';
  const [sent, unsent] = await Promise.allSettled([client.commitCredit('a', COMMIT), client.commitCredit('a', COMMIT)]);
  assert.equal(sent.reason.mayHaveBeenDone, true);
  assert.equal(unsent.reason.mayHaveBeenDone, false);
  assert.match(unsent.reason.message, /all connections were busy/);
  assert.equal(proxy.requests.length, 1);
});

// --- retries

for (const [what, calls] of [['call', 1], ['batch', 3]]) {
  test(`a ${what} whose answer is lost is sent again with the same keys, and takes effect once`, async (t) => {
    const { proxy, client } = await stage(t);
    proxy.script = (_, count) => (count <= 2 ? 'lose answer' : undefined);
    await Promise.all(Array.from({ length: calls }, () => client.commitCredit('a', COMMIT)));
    const keys = proxy.requests.map(({ headers, body }) =>
      headers['idempotency-key'] ?? body.operations.map(({ idempotency_key: key }) => key));
    assert.equal(keys.length, 3);
    assert.deepEqual(keys[1], keys[0]);
    assert.deepEqual(keys[2], keys[0]);
    assert.equal(new Set(keys.flat()).size, calls);
    assert.equal(await consumed(client, 'a'), calls);
  });
}

test('only the operations of a batch that got no answer are sent again', async (t) => {
  const { proxy, client } = await stage(t);
  proxy.script = (_, count) => (count > 1 ? undefined : (answer) => {
    const { results } = JSON.parse(answer.body);
    results[1] = JSON.parse(problem(503, 'storage_unavailable').body);
    return { ...answer, body: JSON.stringify({ results }) };
  });
  await Promise.all(['a', 'b', 'c'].map((id) => client.commitCredit(id, COMMIT)));
  assert.deepEqual(proxy.requests.map(({ path }) => path), ['/v1/batch', '/v1/installs/b/commit']);
  assert.equal(await consumed(client, 'b'), 1);
});

test('a retry waits for Retry-After', async (t) => {
  const { proxy, client } = await stage(t);
  proxy.script = (_, count) => (count === 1 ? problem(503, 'overloaded', { 'retry-after': '1' }) : undefined);
  await client.commitCredit('a', COMMIT);
  const [first, second] = proxy.requests.map(({ at }) => at);
  assert.ok(second - first >= 1000, `${second - first} ms`);
});

test('a call whose time ends before Retry-After fails at once', async (t) => {
  const { proxy, client } = await stage(t);
  proxy.script = () => problem(503, 'overloaded', { 'retry-after': '3600' });
  await assert.rejects(client.commitCredit('a', COMMIT), { mayHaveBeenDone: false, message: /503 overloaded/ });
  assert.equal(proxy.requests.length, 1);
});

test('a call waits for a server that restarts', async (t) => {
  const start = starter(t);
  const server = await start.server();
  const client = await start.client({ url: server.url });
  await client.commitCredit('a', COMMIT);
  await server.stop();
  const committed = client.commitCredit('a', COMMIT);
  await server.run();
  await committed;
  assert.equal(await consumed(client, 'a'), 2);
});

for (const [trouble, script, told] of [
  ['refuses connections', null, { mayHaveBeenDone: false, message: /ECONNREFUSED/ }],
  ['says that it has too much to do', () => problem(503, 'overloaded'), { mayHaveBeenDone: false }],
  ['cannot write', () => problem(503, 'storage_unavailable'), { mayHaveBeenDone: true, message: /storage_unavail/ }],
  ['breaks connections', () => 'break', { mayHaveBeenDone: true }],
  ['says nothing', () => 'hang', { mayHaveBeenDone: true, message: /no answer in \d+ ms/ }],
  ['answers what is no JSON', () => ({ status: 200, body: 'hello' }), { mayHaveBeenDone: true, message: /JSON/ }],
  ['says yes to everything', () => ({ status: 201, body: 'yes' }), { mayHaveBeenDone: true, message: /JSON/ }],
  ['is a proxy without a server', () => ({ status: 502, body: '<html>' }), { mayHaveBeenDone: true, message: /502/ }],
]) {
  test(`a server that ${trouble} is unavailable, and the error says whether the call may have been done`, async (t) => {
    const { proxy, client } = await stage(t, { timeoutMs: 1500, attemptTimeoutMs: 300 });
    if (script) proxy.script = script;
    else await proxy.close();
    const call = { name: 'CreditsUnavailableError', ...told };
    await assert.rejects(client.commitCredit('a', { ...COMMIT, idempotencyKey: 'k' }), { ...call, idempotencyKey: 'k' });
    const both = await Promise.allSettled([client.commitCredit('a', COMMIT), client.reserve('b')]);
    for (const { reason } of both) assert.equal(reason.mayHaveBeenDone, told.mayHaveBeenDone);
    if (script) assert.ok(proxy.requests.length > 2, 'it was tried again');
  });
}

test('a wrong argument is rejected at the call, by name and value', async (t) => {
  const { proxy, client } = await stage(t);
  for (const [call, message] of [
    [() => client.commitCredit('a', { ...COMMIT, credit: 5 }), /^TypeError: commit has no option credit:/],
    [() => client.commitCredit('a', { ...COMMIT, credits: 2.5 }), /^RangeError: commit: credits .*2\.5/],
    [() => client.commitCredit('a', { ...COMMIT, credits: NaN }), /^RangeError: commit: credits .*NaN/],
    [() => client.commitCredit('a', { ...COMMIT, credits: () => 5 }), /^TypeError: commit: credits .*Function/],
    [() => client.commitCredit('a', { ...COMMIT, credits: 0 }), /^RangeError: commit: credits .*0/],
    [() => client.commitCredit('a', { ...COMMIT, backend: 'gpu' }), /^TypeError: commit: backend .*"gpu"/],
    [() => client.commitCredit('a', { backend: 'gemini' }), /^TypeError: commit: tier .*undefined/],
    [() => client.commitCredit('a', { ...COMMIT, tier: 'x'.repeat(65) }), /^TypeError: commit: tier .*x/],
    [() => client.commitCredit('a'), /^TypeError: commit: backend .*undefined/],
    [() => client.commitCredit('a', null), /^TypeError: the options of commit .*null/],
    [() => client.commitCredit('a', { ...COMMIT, idempotencyKey: '50%' }), /^TypeError: commit: idempotencyKey .*"50%"/],
    [() => client.commitCredit('a', { ...COMMIT, idempotencyKey: null }), /^TypeError: commit: idempotencyKey .*null/],
    [() => client.commitCredit('a', { ...COMMIT, onUnavailable: 'log' }), /^TypeError: commit: onUnavailable .*"log"/],
    [() => client.reserve('a', { ttl_seconds: 5 }), /^TypeError: reserve has no option ttl_seconds:/],
    [() => client.reserve('a', { ttlSeconds: 86_401 }), /^RangeError: reserve: ttlSeconds .*86401/],
    [() => client.reserve('a', { hasHardware: 'no' }), /^TypeError: reserve: hasHardware .*"no"/],
    [() => client.settle('a', 'id', { credit: 3 }), /^TypeError: settle has no option credit:/],
    [() => client.settle('a', 'id', { credits: -1 }), /^RangeError: settle: credits .*-1/],
    [() => client.settle('a', { id: 1 }), /^TypeError: reservationId .*id/],
    [() => client.release('a', 'id', { credits: 1 }), /^TypeError: release has no option credits:/],
    [() => client.release('a', '..'), /^TypeError: reservationId .*"\.\."/],
    [() => client.getOrCreateRow('..'), /^TypeError: installId .*"\.\."/],
    [() => client.getOrCreateRow('a', { tier: 'core' }), /^TypeError: create has no option tier:/],
  ]) await assert.rejects(call(), (error) => message.test(String(error)) || assert.fail(`${message}: ${error}`));
  assert.equal(proxy.requests.length, 0);
});

test('an undefined option counts as omitted, one from a prototype does not', async (t) => {
  const { client } = await stage(t, { timeoutMs: undefined, token: undefined, onUnavailable: undefined });
  const { credits } = await client.reserve('a', { tier: undefined, credits: undefined, idempotencyKey: undefined });
  assert.equal(credits, 1);
  await client.commitCredit('a', Object.create({ ...COMMIT, credits: 4 }));
  assert.equal(await consumed(client, 'a'), 4);
});

test('a refused call is not sent again', async (t) => {
  const { proxy, client } = await stage(t);
  await assert.rejects(client.commitCredit('a', { ...COMMIT, tier: 'gold' }), { status: 422, field: 'tier' });
  await assert.rejects(client.settle('a', 'no-such'), { status: 404, code: 'unknown_reservation' });
  assert.equal(proxy.requests.length, 2);
});

test('two commits with the same key take effect once', async (t) => {
  const { client } = await stage(t);
  const once = { ...COMMIT, idempotencyKey: 'request-17' };
  await client.commitCredit('a', once);
  await client.commitCredit('a', once);
  assert.equal(await consumed(client, 'a'), 1);
  await assert.rejects(client.commitCredit('a', { ...once, credits: 2 }), { code: 'idempotency_key_reused' });
});

// --- policy

test('the caller’s policy decides if the server does not answer', async (t) => {
  const told = [];
  const { proxy, client } = await stage(t, {
    timeoutMs: 100,
    onUnavailable: (error, call) => {
      told.push([error.name, call]);
      return { allowed: true, backend: 'hardware', reason: null };
    },
  });
  proxy.script = () => 'break';
  assert.equal((await client.reserve('a')).backend, 'hardware');
  assert.deepEqual(told, [['CreditsUnavailableError', { op: 'reserve', installId: 'a' }]]);
  await assert.rejects(client.reserve('a', { onUnavailable: () => { throw new Error('closed'); } }), /closed/);
});

test('the policy does not decide refusals', async (t) => {
  const { client } = await stage(t, { onUnavailable: () => assert.fail('asked') });
  await assert.rejects(client.settle('a', 'no-such'), { status: 404 });
  assert.equal((await client.reserve('a', { credits: 101 })).reason, 'out_of_credits');
});

// --- the end

test('close waits for unanswered calls, and refuses later ones', async (t) => {
  const { client, proxy } = await stage(t);
  const commit = client.commitCredit('a', COMMIT);
  await client.close();
  await commit;
  assert.equal(proxy.requests.length, 1);
  await assert.rejects(client.commitCredit('a', COMMIT), /closed/);
});

test('open connections do not keep the program from exiting', async (t) => {
  const server = await starter(t).server();
  const index = fileURLToPath(new URL('../index.js', import.meta.url));
  const program = `import { commitCredit, initCredits } from ${JSON.stringify(index)};
    await initCredits({ url: ${JSON.stringify(server.url)} });
    await commitCredit('a', { backend: 'gemini', tier: 'core' });
    console.log('done');`;
  const ended = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8', timeout: 20_000 });
  assert.deepEqual([ended.status, ended.stdout, ended.stderr], [0, 'done\n', '']);
});

test('HTTPS, with a certificate that the caller trusts', async (t) => {
  const start = starter(t);
  const server = await start.server();
  const [key, certificate] = [server.file('key.pem'), server.file('cert.pem')];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
    '-keyout', key, '-out', certificate, '-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'],
  { stdio: 'ignore' });
  await server.stop();
  server.flags.push('--tls-cert', certificate, '--tls-key', key);
  await server.run();
  const { url } = server;
  assert.match(url, /^https:/);
  const client = await start.client({ url, tls: { ca: readFileSync(certificate) } });
  await client.commitCredit('a', COMMIT);
  assert.equal(await consumed(client, 'a'), 1);
  const stranger = await start.client({ url, timeoutMs: 2000 });
  await assert.rejects(stranger.check(), /certificate/);
});

test('a call on a damaged install is refused at once and not retried', async (t) => {
  const { client, proxy } = await stage(t);
  proxy.script = () => problem(500, 'storage_damaged');
  await assert.rejects(client.reserve('a'), { name: 'CreditsRefusedError', status: 500, code: 'storage_damaged' });
  assert.equal(proxy.requests.length, 1);
});
