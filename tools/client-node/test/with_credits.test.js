// Reservations, and withCredits around them.

import assert from 'node:assert/strict';
import test from 'node:test';
import { problem, starter } from './harness.js';

async function stage(t, { quota = { core: { lifetime: 10, geminiCapLifetime: 6 } }, ...options } = {}) {
  const start = starter(t);
  const server = await start.server({ quota });
  const proxy = await start.proxy(server);
  const client = await start.client({ url: proxy.url, ...options });
  const show = () => server.call('GET', '/v1/installs/a');
  return { server, proxy, client, show };
}

test('reserved credits are held, then debited in part, and the rest is free again', async (t) => {
  const { client } = await stage(t);
  const { expires_at: end, reservation_id: id, ...reservation } = await client.reserve('a', { credits: 5, ttlSeconds: 60 });
  assert.deepEqual(reservation, {
    allowed: true, reason: null, backend: 'gemini', tier: 'core', credits: 5,
    balance: { remaining: 5, capped: 'lifetime', gemini_remaining: 1, held: 5 },
  });
  assert.ok(Date.parse(end) > Date.now());
  const settled = await client.settle('a', id, { credits: 3 });
  assert.deepEqual(settled.balance, { remaining: 7, capped: 'lifetime', gemini_remaining: 3, held: 0 });
  await assert.rejects(client.release('a', id), { status: 409, code: 'reservation_settled' });
});

test('a released reservation leaves no trace in the balance', async (t) => {
  const { client } = await stage(t);
  const { reservation_id: id } = await client.reserve('a', { credits: 5 });
  const { balance } = await client.release('a', id);
  assert.deepEqual([balance.remaining, balance.held], [10, 0]);
  await assert.rejects(client.settle('a', id), { code: 'reservation_released' });
});

test('a refused reserve reads like a refused plan', async (t) => {
  const { client } = await stage(t);
  const refused = (reason) => ({ allowed: false, backend: null, reason });
  assert.deepEqual(await client.reserve('a', { credits: 11 }), refused('out_of_credits'));
  assert.deepEqual(await client.reserve('a', { credits: 7 }), refused('gemini_cap_exceeded_no_hardware'));
  assert.equal((await client.reserve('a', { credits: 7, hasHardware: true })).backend, 'hardware');
});

test('a reservation’s id is required', async (t) => {
  const { client } = await stage(t);
  await assert.rejects(client.settle('a', undefined), { name: 'TypeError', message: /reservationId/ });
  await assert.rejects(client.release('a', ''), /reservationId/);
});

test('withCredits debits the reservation, and returns the function’s result', async (t) => {
  const { client, show } = await stage(t);
  const answer = await client.withCredits('a', { credits: 4 }, async ({ backend, credits }) => {
    assert.equal((await show()).balance.held, 4);
    return `${credits} of ${backend}`;
  });
  assert.equal(answer, '4 of gemini');
  const { balance, lifetime_gemini_consumed: gemini } = await show();
  assert.deepEqual([balance.remaining, balance.held, gemini], [6, 0, 4]);
});

test('withCredits debits the reported usage', async (t) => {
  const { client, show } = await stage(t);
  await client.withCredits('a', { credits: 4 }, ({ use }) => use({ credits: 1, backend: 'hardware' }));
  const { lifetime_consumed: all, lifetime_gemini_consumed: gemini } = await show();
  assert.deepEqual([all, gemini], [1, 0]);
});

test('a function that throws costs nothing', async (t) => {
  const { client, show } = await stage(t);
  await assert.rejects(client.withCredits('a', { credits: 4 }, () => { throw new Error('the model is busy'); }),
    /the model is busy/);
  const { balance, version } = await show();
  assert.deepEqual([balance.remaining, balance.held, version], [10, 0, 2]);
});

test('a function’s exception is rethrown though its hold cannot be released', async (t) => {
  const { client, proxy } = await stage(t, { timeoutMs: 1500 });
  await assert.rejects(client.withCredits('a', {}, () => {
    proxy.script = () => 'break';
    throw new Error('the model is busy');
  }), /the model is busy/);
});

test('without credits the function does not run', async (t) => {
  const { client } = await stage(t);
  const refused = { name: 'CreditsRefusedError', status: 402, reason: 'out_of_credits', message: /install a/ };
  await assert.rejects(client.withCredits('a', { credits: 11 }, () => assert.fail('run')), refused);
});

test('a function that outlasts its reservation is still debited, once', async (t) => {
  const { client, proxy, show } = await stage(t);
  await client.withCredits('a', { credits: 2, ttlSeconds: 1 }, async () => {
    await new Promise((resolve) => { setTimeout(resolve, 1500); });
    proxy.script = ({ path }) => (path.endsWith('/installs/a/commit') && proxy.requests.length < 5 ? 'lose answer' : undefined);
  });
  assert.ok(proxy.requests.filter(({ path }) => path.endsWith('/installs/a/commit')).length > 1);
  assert.equal((await show()).lifetime_consumed, 2);
});

test('without a credits service the function does not run', async (t) => {
  const { client, proxy } = await stage(t, { timeoutMs: 100 });
  proxy.script = () => 'break';
  await assert.rejects(client.withCredits('a', {}, () => assert.fail('run')), { name: 'CreditsUnavailableError' });
});

test('a debit without an answer is thrown with the function’s result', async (t) => {
  const { client, proxy } = await stage(t, { timeoutMs: 1500 });
  const work = () => {
    proxy.script = () => 'break';
    return 'the answer';
  };
  const unavailable = { name: 'CreditsUnavailableError', mayHaveBeenDone: true, result: 'the answer' };
  await assert.rejects(client.withCredits('a', {}, work), unavailable);
});

test('a caller that fails open runs the function as its policy decides, and debits it when possible', async (t) => {
  const asked = [];
  const { client, proxy, show } = await stage(t, { timeoutMs: 1500 });
  const options = {
    tier: 'core',
    credits: 2,
    onUnavailable: (error, { op }) => {
      asked.push(op);
      return { allowed: true, backend: 'hardware', reason: null };
    },
  };
  proxy.script = () => 'break';
  const work = ({ backend }) => {
    proxy.script = () => undefined;
    return backend;
  };
  assert.equal(await client.withCredits('a', options, work), 'hardware');
  assert.deepEqual(asked, ['reserve']);
  const { lifetime_consumed: all, lifetime_gemini_consumed: gemini } = await show();
  assert.deepEqual([all, gemini], [2, 0]);
  proxy.script = () => 'break';
  assert.equal(await client.withCredits('a', options, () => 'done'), 'done');
  assert.deepEqual(asked, ['reserve', 'reserve', 'commit']);
});

test('a policy that answers a reserve with nothing is an error', async (t) => {
  const { client, proxy } = await stage(t, { timeoutMs: 100, onUnavailable: () => undefined });
  proxy.script = () => 'break';
  await assert.rejects(client.withCredits('a', {}, () => assert.fail('run')), /onUnavailable must answer/);
});

test('withCredits debits by a plain commit, with the reservation’s id as key, if a failover lost the hold', async (t) => {
  const { client, proxy, show } = await stage(t);
  proxy.script = ({ path, body }) => {
    const isSettle = path.includes('/reservations/') || body?.operations?.[0].op === 'settle';
    return isSettle ? problem(404, 'unknown_reservation') : undefined;
  };
  let id;
  await client.withCredits('a', { credits: 4 }, async (reservation) => { id = reservation.reservation_id; });
  const { balance } = await show();
  assert.deepEqual([balance.remaining, balance.held], [6, 0]);
  const commit = proxy.requests.at(-1);
  assert.equal(commit.headers['idempotency-key'] ?? commit.body.operations?.[0].idempotency_key, id);
});
