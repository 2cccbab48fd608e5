// withCredits debits the work done: the usage that its function reported, however much, and however it ended.

import assert from 'node:assert/strict';
import test from 'node:test';
import { eventually, problem, starter } from './harness.js';

async function stage(t, { quota = { core: { lifetime: 10, geminiCapLifetime: 6 } }, ...options } = {}) {
  const start = starter(t);
  const server = await start.server({ quota });
  const proxy = await start.proxy(server);
  const client = await start.client({ url: proxy.url, ...options });
  const show = async () => {
    const { lifetime_consumed: consumed, lifetime_gemini_consumed: gemini, balance } = await server.call('GET', '/v1/installs/a');
    return { consumed, gemini, held: balance.held };
  };
  const kinds = async () => {
    const { entries } = await server.call('GET', '/v1/installs/a/entries');
    return entries.map(({ kind, credits }) => [kind, credits]).reverse();
  };
  return { server, proxy, client, show, kinds };
}

const isSettle = ({ path, body }) => /reservations\/.*\/commit$/.test(path) || body?.operations?.[0].op === 'settle';
const isRelease = ({ method }) => method === 'DELETE';
const asksForHold = ({ path, body }) => path.endsWith('/reservations') || body?.operations?.[0].op === 'reserve';

// --- usage beyond the hold

test('usage beyond the hold is debited too, under a separate key', async (t) => {
  const { client, proxy, show, kinds } = await stage(t);
  let id;
  const result = await client.withCredits('a', { credits: 5 }, (reservation) => {
    id = reservation.reservation_id;
    reservation.use({ credits: 7 });
    return 'text';
  });
  assert.equal(result, 'text');
  assert.deepEqual(await show(), { consumed: 7, gemini: 7, held: 0 });
  assert.deepEqual((await kinds()).slice(-2), [['settle', 5], ['commit', 2]]);
  const [, commit] = proxy.operations().at(-1);
  assert.equal(commit.idempotency_key, `${id}:overage`);
});

test('usage beyond the hold is debited once, though answers are lost', async (t) => {
  const { client, proxy, show } = await stage(t);
  await client.withCredits('a', { credits: 5 }, ({ use }) => {
    const before = proxy.requests.length;
    proxy.script = (_, count) => (count <= before + 2 ? 'lose answer' : undefined);
    use({ credits: 7, backend: 'hardware' });
  });
  assert.deepEqual(await show(), { consumed: 7, gemini: 0, held: 0 });
});

test('usage beyond an ended hold is debited in full', async (t) => {
  const { client, proxy, show } = await stage(t);
  proxy.script = (request) => (isSettle(request) ? (answer) => {
    if (request.path !== '/v1/batch') return problem(404, 'unknown_reservation');
    const { results } = JSON.parse(answer.body);
    results[0] = JSON.parse(problem(404, 'unknown_reservation').body);
    return { ...answer, body: JSON.stringify({ results }) };
  } : undefined);
  let id;
  await client.withCredits('a', { credits: 5 }, async (reservation) => {
    id = reservation.reservation_id;
    await client.release('a', id); // as if a failover had lost it
    reservation.use({ credits: 7 });
  });
  assert.deepEqual(await show(), { consumed: 7, gemini: 7, held: 0 });
  assert.ok(proxy.requests.some(({ headers }) => headers['idempotency-key'] === id));
});

test('a hold that somebody released is still debited', async (t) => {
  const { client, show } = await stage(t);
  await client.withCredits('a', { credits: 4 }, async ({ reservation_id: id, use }) => {
    use({ credits: 3 });
    await client.release('a', id);
  });
  assert.deepEqual(await show(), { consumed: 3, gemini: 3, held: 0 });
});

test('work on Gemini beyond its cap is debited, and its hold ends', async (t) => {
  const { client, show } = await stage(t);
  await client.withCredits('a', { credits: 7, hasHardware: true }, ({ backend, use }) => {
    assert.equal(backend, 'hardware');
    use({ backend: 'gemini' });
  });
  assert.deepEqual(await show(), { consumed: 7, gemini: 7, held: 0 });
});

// --- a function that throws

test('the usage of an interrupted stream is debited, and its error rethrown', async (t) => {
  const { client, show, kinds } = await stage(t);
  const cut = new Error('the stream was cut');
  await assert.rejects(client.withCredits('a', { credits: 5 }, ({ use }) => {
    use({ credits: 1 });
    use({ credits: 3 });
    throw cut;
  }), (error) => error === cut);
  assert.deepEqual(await show(), { consumed: 3, gemini: 3, held: 0 });
  assert.deepEqual((await kinds()).at(-1), ['settle', 3]);
});

test('a throw after usage beyond the hold debits all usage', async (t) => {
  const { client, show } = await stage(t);
  await assert.rejects(client.withCredits('a', { credits: 5 }, ({ use }) => {
    use({ credits: 7 });
    throw new Error('cut');
  }), /^Error: cut$/);
  assert.deepEqual(await show(), { consumed: 7, gemini: 7, held: 0 });
});

test('a throw after a report of only a backend debits the hold on it', async (t) => {
  const { client, show } = await stage(t);
  await assert.rejects(client.withCredits('a', { credits: 5 }, ({ use }) => {
    use({ backend: 'hardware' });
    throw new Error('cut');
  }), /cut/);
  assert.deepEqual(await show(), { consumed: 5, gemini: 0, held: 0 });
});

for (const spent of [{}, { credits: undefined, backend: undefined }]) {
  test(`a throw after an empty report,  ${JSON.stringify(spent)}, releases the hold`, async (t) => {
    const { client, show, kinds } = await stage(t);
    await assert.rejects(client.withCredits('a', { credits: 5 }, ({ use }) => {
      use(spent);
      throw new Error('cut');
    }), /cut/);
    assert.deepEqual(await show(), { consumed: 0, gemini: 0, held: 0 });
    assert.deepEqual((await kinds()).at(-1), ['release', 5]);
  });
}

test('a throw after a report of no usage debits nothing', async (t) => {
  const { client, show } = await stage(t);
  await assert.rejects(client.withCredits('a', { credits: 5 }, ({ use }) => {
    use({ credits: 0 });
    throw new Error('cut');
  }), /cut/);
  assert.deepEqual(await show(), { consumed: 0, gemini: 0, held: 0 });
});

test('a failed debit after a throw is reported, with the function’s exception', async (t) => {
  const { client, proxy } = await stage(t, { timeoutMs: 1500 });
  const cut = new Error('cut');
  const work = ({ use }) => {
    use({ credits: 3 });
    proxy.script = () => 'break';
    throw cut;
  };
  await assert.rejects(client.withCredits('a', { credits: 5 }, work), (error) => {
    assert.equal(error.name, 'CreditsUnavailableError');
    assert.equal(error.thrown, cut);
    assert.ok(!('result' in error));
    return true;
  });
});

// --- a refused debit

test('a refused debit is thrown with the function’s result', async (t) => {
  const { client, proxy } = await stage(t);
  const work = () => {
    proxy.script = () => problem(403, 'forbidden');
    return 'the answer';
  };
  await assert.rejects(client.withCredits('a', {}, work),
    { name: 'CreditsRefusedError', status: 403, result: 'the answer' });
});

test('the result is not lost if the hold is debited but the excess is refused', async (t) => {
  const { client, server, show } = await stage(t);
  const work = async ({ use }) => {
    use({ credits: 7 });
    await server.call('PUT', '/v1/quota', { core: { lifetime: 10 } });
    return 'the answer';
  };
  await server.call('PUT', '/v1/quota', { core: { lifetime: 10 }, gone: { lifetime: 10 } });
  await assert.rejects(client.withCredits('a', { tier: 'gone', credits: 5 }, work),
    { code: 'unknown_tier', result: 'the answer' });
  assert.deepEqual(await show(), { consumed: 5, gemini: 5, held: 0 });
});

test('a value that the policy throws is passed on even if it is not an Error', async (t) => {
  const { client, proxy } = await stage(t, { timeoutMs: 1500, onUnavailable: () => { throw 'no service'; } });
  const work = () => { proxy.script = () => 'break'; };
  await assert.rejects(client.withCredits('a', {}, work), (thrown) => thrown === 'no service');
});

// --- wrong values

for (const [spent, name, message] of [
  [{ credits: 2.5 }, 'RangeError', /credits.*2\.5/],
  [{ credits: NaN }, 'RangeError', /credits.*NaN/],
  [{ credits: Infinity }, 'RangeError', /credits.*Infinity/],
  [{ credits: -1 }, 'RangeError', /credits.*-1/],
  [{ credits: 1_000_001 }, 'RangeError', /credits.*1000001/],
  [{ credits: '3' }, 'TypeError', /credits.*"3"/],
  [{ credits: 3n }, 'TypeError', /credits.*3n/],
  [{ credits: null }, 'TypeError', /credits.*null/],
  [{ credit: 3 }, 'TypeError', /use has no option credit:/],
  [{ backend: 'gpu' }, 'TypeError', /backend.*"gpu"/],
  [{ credits: 3, tier: 'core' }, 'TypeError', /no option tier/],
  [undefined, 'TypeError', /use.*undefined/],
  [3, 'TypeError', /use.*3/],
]) {
  const label = `use(${spent && typeof spent === 'object' ? Object.entries(spent).map(String) : spent})`;
  test(`${label} is rejected at the call, and nothing is debited`, async (t) => {
    const { client, show, kinds } = await stage(t);
    let told;
    await assert.rejects(client.withCredits('a', { credits: 5 }, ({ use }) => {
      try {
        use(spent);
      } catch (error) {
        told = error;
        throw error;
      }
    }), (error) => error === told);
    assert.equal(told.name, name);
    assert.match(told.message, message);
    assert.deepEqual(await show(), { consumed: 0, gemini: 0, held: 0 });
    assert.deepEqual((await kinds()).at(-1), ['release', 5]);
  });
}

test('a wrong use after a right one debits the right one', async (t) => {
  const { client, show } = await stage(t);
  await assert.rejects(client.withCredits('a', { credits: 5 }, ({ use }) => {
    use({ credits: 2 });
    use({ credits: NaN });
  }), RangeError);
  assert.deepEqual(await show(), { consumed: 2, gemini: 2, held: 0 });
});

test('after a caught wrong use the whole hold is debited', async (t) => {
  const { client, show } = await stage(t);
  await client.withCredits('a', { credits: 5 }, ({ use }) => { assert.throws(() => use({ credits: 2.5 }), RangeError); });
  assert.deepEqual(await show(), { consumed: 5, gemini: 5, held: 0 });
});

test('a use after the function has ended is refused', async (t) => {
  const { client, show } = await stage(t);
  let late;
  await client.withCredits('a', { credits: 5 }, ({ use }) => { late = use; });
  assert.throws(() => late({ credits: 1 }), { name: 'CreditsError', message: /has ended/ });
  assert.equal((await show()).consumed, 5);
});

test('a reserve that the policy allows without a tier or backend does not run', async (t) => {
  const decisions = [
    [{ allowed: true, backend: 'hardware', reason: null }, /tier.*undefined/],
    [{ allowed: true, backend: 'cpu', tier: 'core', reason: null }, /backend.*"cpu"/],
    [{ backend: 'hardware', tier: 'core' }, /must answer a reserve/],
    ['yes', /must answer a reserve/],
  ];
  const { client, proxy } = await stage(t, { timeoutMs: 100 });
  proxy.script = () => 'break';
  for (const [decision, message] of decisions) {
    await assert.rejects(client.withCredits('a', { onUnavailable: () => decision }, () => assert.fail('run')),
      { name: 'TypeError', message });
  }
});

test('usage of a hold from the policy is debited in full', async (t) => {
  const { client, proxy, show } = await stage(t, { timeoutMs: 1500 });
  proxy.script = () => 'break';
  const onUnavailable = () => ({ allowed: true, backend: 'hardware', tier: 'core', reason: null });
  await assert.rejects(client.withCredits('a', { credits: 2, onUnavailable }, ({ use }) => {
    proxy.script = () => undefined;
    use({ credits: 7 });
    throw new Error('cut');
  }), /cut/);
  assert.deepEqual(await show(), { consumed: 7, gemini: 0, held: 0 });
});

test('withCredits rejects wrong arguments before it reserves', async (t) => {
  const { client, proxy } = await stage(t);
  await assert.rejects(client.withCredits('a', {}), { name: 'TypeError', message: /function.*undefined/ });
  await assert.rejects(client.withCredits('a', null, () => 1), { name: 'TypeError', message: /reserve.*null/ });
  await assert.rejects(client.withCredits('a', { credits: 0 }, () => 1), { name: 'RangeError', message: /credits.*0/ });
  assert.equal(proxy.requests.length, 0);
});

// --- known keys

// Answers to a known key, changed as if their holds had expired.
const asOver = (answer) => (answer.headers['idempotency-replayed']
  ? { ...answer, body: JSON.stringify({ ...JSON.parse(answer.body), expires_at: '2026-01-01T00:00:00.000Z' }) } : answer);

test('a hold that ended before its reserve was answered is reserved anew', async (t) => {
  const { client, proxy, kinds } = await stage(t);
  proxy.script = (_, count) => (count === 1 ? 'lose answer' : asOver);
  const { reservation_id: id } = await client.reserve('a', { credits: 2 });
  const keys = proxy.requests.map(({ headers }) => headers['idempotency-key']);
  assert.equal(keys.length, 3);
  assert.equal(keys[1], keys[0]);
  assert.match(keys[2], /^[^:]+:again$/);
  assert.ok(!keys[2].startsWith(id));
  assert.deepEqual(await kinds(), [['reserve', 2], ['reserve', 2]]);
});

for (const [what, ask] of [
  ['a call', (client, asked) => client.reserve('a', asked)],
  ['a batch', async (client, asked) => (await Promise.all([client.reserve('a', asked), client.getOrCreateRow('b')]))[0]],
]) {
  test(`a key whose hold has ended gets a new hold, the same for all callers: ${what}`, async (t) => {
    const { client, proxy } = await stage(t);
    const asked = { credits: 2, idempotencyKey: 'request-17' };
    const first = await ask(client, asked);
    assert.equal((await ask(client, asked)).reservation_id, first.reservation_id);
    proxy.script = ({ headers, body }) => {
      if (headers['idempotency-key'] === 'request-17') return asOver;
      if (body?.operations?.[0].idempotency_key !== 'request-17') return undefined;
      return (answer) => ({ ...answer, body: answer.body.replace(/("expires_at":")[^"]*/, '$12026-01-01T00:00:00.000Z') });
    };
    const second = await ask(client, asked);
    assert.notEqual(second.reservation_id, first.reservation_id);
    assert.equal((await ask(client, asked)).reservation_id, second.reservation_id);
  });
}

test('withCredits replaces the hold of a reserve that got no answer', async (t) => {
  const { client, proxy, show } = await stage(t, { timeoutMs: 1500 });
  proxy.script = (request) => (asksForHold(request) ? 'lose answer' : undefined);
  const options = { credits: 5, idempotencyKey: 'request-17' };
  await assert.rejects(client.withCredits('a', options, () => assert.fail('run')), { idempotencyKey: 'request-17' });
  proxy.script = () => undefined;
  await client.withCredits('a', options, async () => { assert.equal((await show()).held, 5); });
  assert.deepEqual(await show(), { consumed: 5, gemini: 5, held: 0 });
});

test('withCredits with a key whose hold was released runs on a new hold', async (t) => {
  const { client, show } = await stage(t);
  const options = { credits: 5, idempotencyKey: 'request-17' };
  for (let round = 0; round < 2; round++) {
    await assert.rejects(client.withCredits('a', options, () => { throw new Error('busy'); }), /busy/);
  }
  await client.withCredits('a', options, async () => { assert.equal((await show()).held, 5); });
  assert.deepEqual(await show(), { consumed: 5, gemini: 5, held: 0 });
});

test('withCredits with a debited key does not run: nothing is free, and nothing is debited twice', async (t) => {
  const { client, show } = await stage(t);
  const options = { credits: 2, idempotencyKey: 'request-17' };
  await client.withCredits('a', options, () => 'done');
  await assert.rejects(client.withCredits('a', options, () => assert.fail('run')),
    { name: 'CreditsRefusedError', code: 'reservation_settled' });
  assert.equal((await show()).consumed, 2);
});

test('a key whose holds keep ending is given up', async (t) => {
  const { client } = await stage(t);
  const options = { credits: 1, idempotencyKey: 'request-17' };
  const run = () => client.withCredits('a', options, () => { throw new Error('busy'); });
  for (let round = 0; round < 20; round++) await assert.rejects(run(), /busy/);
  await assert.rejects(run(), /20 reservations under the idempotencyKey request-17 have ended/);
});

// --- the end

test('close waits for the functions of withCredits and their debits', async (t) => {
  const { client, show } = await stage(t);
  const gate = {};
  gate.open = new Promise((resolve) => { gate.release = resolve; });
  let isRunning = false;
  const work = client.withCredits('a', { credits: 5 }, async ({ use }) => {
    isRunning = true;
    await gate.open;
    use({ credits: 3 });
  });
  await eventually(() => isRunning, 'the function');
  const closed = client.close();
  await assert.rejects(client.withCredits('a', {}, () => assert.fail('run')), /closed/);
  await assert.rejects(client.reserve('a'), /closed/);
  gate.release();
  await Promise.all([work, closed]);
  assert.deepEqual(await show(), { consumed: 3, gemini: 3, held: 0 });
});

test('a hold is released though the client closes', async (t) => {
  const { client, proxy, show } = await stage(t);
  let closed;
  await assert.rejects(client.withCredits('a', { credits: 5 }, () => {
    closed = client.close();
    throw new Error('busy');
  }), /busy/);
  await closed;
  assert.ok(proxy.requests.some(isRelease));
  assert.equal((await show()).held, 0);
});
