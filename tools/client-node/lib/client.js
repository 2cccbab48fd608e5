// A client of one ledger. Calls that are made in the same tick travel as one batch; what got no answer
// is sent again under the same idempotency key, until the time is over.

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { CreditsError, CreditsRefusedError, CreditsUnavailableError } from './errors.js';
import { batchRequest, singleRequest } from './requests.js';
import { Transport } from './transport.js';

const DEFAULTS = {
  timeoutMs: 10_000, // of a call, with all its tries
  attemptTimeoutMs: 3_000, // of one try
  connections: 16,
  batchMax: 500, // operations that travel together
};
const BACKOFF_MS = 25; // doubled with each try
const BACKOFF_MAX_MS = 2_000;

// The eight fields of the old ledger's rows, in their order.
const ROW_FIELDS = ['install_id', 'tier_snapshot', 'lifetime_consumed', 'lifetime_gemini_consumed',
  'month', 'monthly_consumed', 'monthly_gemini_consumed', 'last_active_at'];

const rowOf = (install) => Object.fromEntries(ROW_FIELDS.map((field) => [field, install[field]]));

// Half of it is chance, so that those who failed together do not come back together.
function backoffMs(tries) {
  const most = Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** tries);
  return most / 2 + (most / 2) * Math.random();
}

function checkInstallId(installId) {
  if (!installId) throw new TypeError('an installId is needed');
  if (typeof installId !== 'string' || !/^[!-~]{1,128}$/.test(installId)) {
    throw new TypeError('installId must be a string of 1 to 128 printable ASCII characters without space, not '
      + JSON.stringify(installId));
  }
}

function checkVisible(name, text, most) {
  if (typeof text === 'string' && /^[!-~]+$/.test(text) && text.length <= most) return;
  throw new TypeError(`${name} must be a string of 1 to ${most} printable ASCII characters without space`);
}

// A misspelt option must not be one that is left out.
function checkNames(what, given, names) {
  const unknown = Object.keys(given).find((name) => !names.includes(name));
  if (unknown) throw new TypeError(`${what} has no option ${unknown}`);
}

function checkSettings(settings) {
  for (const name of ['token', 'adminToken']) {
    if (settings[name] !== undefined) checkVisible(name, settings[name], 4096);
  }
  for (const name of Object.keys(DEFAULTS)) {
    if (!Number.isInteger(settings[name]) || settings[name] < 1) {
      throw new TypeError(`${name} must be a whole number of 1 or more, not ${JSON.stringify(settings[name])}`);
    }
  }
  if (settings.batchMax > 8192) throw new TypeError(`batchMax must be at most 8192, not ${settings.batchMax}`);
}

// Damage stays until somebody restores the ledger, so trying again would not help.
const isAnswer = ({ status, body }) => status >= 200 && (status < 500 || body?.code === 'storage_damaged');

// Whether a try may have done something though it has no answer.
const isAmbiguous = ({ error, wasSent = true, body }) => (error
  ? wasSent && !['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN'].includes(error.code)
  : body?.code !== 'overloaded');

function describe({ error, status, body }) {
  if (error) return error.message || error.code;
  return `the server answered ${status}${body?.code ? ` ${body.code}: ${body.detail}` : ''}`;
}

// Notes the last outcome of a call, and passes on what is an answer. A try that was cut short by the end of the
// call's time says less than the one before.
function take(call, outcome) {
  if (!call.last || !outcome.wasCut) call.last = outcome;
  if (!isAnswer(outcome)) call.mayHaveBeenDone ||= isAmbiguous(outcome);
  else if (outcome.status < 300) call.resolve(outcome.body);
  else call.reject(new CreditsRefusedError(outcome.status, outcome.body));
}

function unavailable({ op, operation, mayHaveBeenDone, last }, tries) {
  return new CreditsUnavailableError(
    `${op}: no answer from the credits service, tried ${tries} ${tries === 1 ? 'time' : 'times'}: ${describe(last)}`,
    { mayHaveBeenDone, idempotencyKey: operation?.idempotency_key, cause: last.error });
}

export class CreditsClient {
  #settings;
  #transport;
  #queue = []; // calls that have not been sent
  #waiting = []; // who waits for a connection to send again
  #idle; // connections that may be used or made
  #underWay = new Set();
  #isClosed = false;

  constructor({ url, token, adminToken = token, onUnavailable, tls, ...given }) {
    checkNames('the client', given, Object.keys(DEFAULTS));
    this.#settings = { ...DEFAULTS, token, adminToken, onUnavailable, ...given };
    checkSettings(this.#settings);
    this.#idle = this.#settings.connections;
    this.#transport = new Transport({ url, tls, connections: this.#settings.connections });
  }

  // Resolves if the server answers and knows the token.
  async check() {
    const request = batchRequest([{ op: 'get', install_id: 'check' }]);
    await this.#settled([this.#newCall({ op: 'check', request })]);
  }

  async getOrCreateRow(installId, options = {}) {
    return rowOf(await this.#call('create', installId, options));
  }

  async commitCredit(installId, { backend, tier, credits, idempotencyKey = randomUUID(), ...options }) {
    await this.#call('commit', installId, options, { backend, tier, credits, idempotency_key: idempotencyKey });
  }

  async reserve(installId, options = {}) {
    const { tier, hasHardware, credits, ttlSeconds, idempotencyKey = randomUUID(), ...others } = options;
    try {
      return await this.#call('reserve', installId, others, {
        tier, has_hardware: hasHardware, credits, ttl_seconds: ttlSeconds, idempotency_key: idempotencyKey,
      }, (reservation) => ({ allowed: true, reason: null, ...reservation }));
    } catch (error) {
      if (error.status !== 402) throw error;
      return { allowed: false, backend: null, reason: error.reason };
    }
  }

  settle(installId, reservationId, { backend, credits, ...options } = {}) {
    return this.#call('settle', installId, options, { reservation_id: reservationId, backend, credits });
  }

  release(installId, reservationId, options = {}) {
    return this.#call('release', installId, options, { reservation_id: reservationId });
  }

  async withCredits(installId, options, fn) {
    const { onUnavailable, tier, credits } = options;
    const decision = await this.reserve(installId, options);
    if (!decision) throw new TypeError('onUnavailable must answer a reserve with {allowed, backend, reason}');
    const { allowed, reason } = decision;
    if (!allowed) {
      throw new CreditsRefusedError(402, { code: reason, reason, detail: `install ${installId} gets no credits` });
    }
    const reservation = { tier, credits, ...decision };
    const used = {};
    let result;
    try {
      result = await fn({ ...reservation, use: (spent) => { Object.assign(used, spent); } });
    } catch (error) {
      // A hold that could not be given back ends by itself.
      if (reservation.reservation_id) {
        await this.release(installId, reservation.reservation_id, { onUnavailable }).catch(() => {});
      }
      throw error;
    }
    try {
      await this.#debit(installId, reservation, used, onUnavailable);
    } catch (error) {
      error.result = result; // it has been paid for
      throw error;
    }
    return result;
  }

  async snapshotAll() {
    const { timeoutMs, adminToken } = this.#settings;
    const request = { method: 'GET', path: '/v1/snapshot', headers: {}, body: '' };
    const snapshot = await this.#settled([
      this.#newCall({ op: 'snapshot', request, token: adminToken, attemptTimeoutMs: timeoutMs })]);
    return Object.values(snapshot.rows);
  }

  // When all calls have their answers. Later ones are refused.
  async close() {
    this.#isClosed = true;
    await Promise.allSettled(this.#underWay);
    this.#transport.close();
  }

  // What a reservation led to; plainly where there is none, its time is over, or a failover of the server's
  // database has lost it.
  async #debit(installId, { reservation_id: id, backend, tier, credits }, used, onUnavailable) {
    if (id) {
      try {
        return await this.settle(installId, id, { ...used, onUnavailable });
      } catch (error) {
        if (!['reservation_expired', 'unknown_reservation'].includes(error.code)) throw error;
      }
    }
    if (used.credits === 0) return undefined;
    return this.commitCredit(installId, { backend, tier, credits, ...used, idempotencyKey: id, onUnavailable });
  }

  // The answer's body, as `read` reads it; or what the caller's policy says where there is none.
  async #call(op, installId, options, fields = {}, read = (body) => body) {
    const { onUnavailable = this.#settings.onUnavailable, ...others } = options;
    checkNames(op, others, []);
    checkInstallId(installId);
    if ('idempotency_key' in fields) checkVisible('idempotencyKey', fields.idempotency_key, 128);
    if ('reservation_id' in fields) checkVisible('reservationId', fields.reservation_id, 128);
    try {
      return read(await this.#enqueue({ op, install_id: installId, ...fields }));
    } catch (error) {
      if (!(error instanceof CreditsUnavailableError) || !onUnavailable) throw error;
      return onUnavailable(error, { op, installId });
    }
  }

  #newCall(call) {
    if (this.#isClosed) throw new CreditsError('the client is closed');
    const { timeoutMs, attemptTimeoutMs, token } = this.#settings;
    const made = { attemptTimeoutMs, token, ...call, deadline: performance.now() + timeoutMs, mayHaveBeenDone: false };
    made.answer = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
    this.#underWay.add(made.answer);
    const forget = () => this.#underWay.delete(made.answer);
    made.answer.then(forget, forget);
    return made;
  }

  #enqueue(operation) {
    const call = this.#newCall({ op: operation.op, operation, request: singleRequest(operation) });
    if (this.#queue.push(call) === 1) setImmediate(() => this.#flush());
    return call.answer;
  }

  // What comes while all connections are taken waits here, and then travels together.
  #flush() {
    while (this.#idle > 0 && this.#queue.length > 0) {
      this.#send(this.#queue.splice(0, this.#settings.batchMax));
    }
  }

  #settled(calls) {
    this.#send(calls);
    return calls[0].answer;
  }

  // Until each of them has an answer or its time is over.
  async #send(calls) {
    let open = calls;
    for (let tries = 1; ; ++tries) {
      const outcomes = await this.#onConnection(() => this.#try(open));
      open.forEach((call, i) => take(call, outcomes[i]));
      open = open.filter(({ last }) => !isAnswer(last));
      if (open.length === 0) return;
      const waitMs = backoffMs(tries) + Math.max(...open.map(({ last }) => last.retryAfterMs ?? 0));
      open = open.filter((call) => {
        const isInTime = performance.now() + waitMs < call.deadline;
        if (!isInTime) call.reject(unavailable(call, tries));
        return isInTime;
      });
      if (open.length === 0) return;
      await sleep(waitMs);
    }
  }

  async #onConnection(work) {
    if (this.#idle > 0) --this.#idle;
    else await new Promise((resolve) => { this.#waiting.push(resolve); });
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) {
        next();
      } else {
        ++this.#idle;
        this.#flush();
      }
    }
  }

  // One outcome for each: {status, body, retryAfterMs}, or {error}.
  async #try(calls) {
    const [{ token, attemptTimeoutMs, request }] = calls;
    const leftMs = calls.at(-1).deadline - performance.now(); // the last came last
    if (leftMs < 1) return calls.map(() => ({ error: new Error('all connections were busy'), wasSent: false }));
    const timeoutMs = Math.ceil(Math.min(attemptTimeoutMs, leftMs));
    const isBatch = calls.length > 1;
    try {
      const answer = await this.#transport.send(
        isBatch ? batchRequest(calls.map(({ operation }) => operation)) : request, { token, timeoutMs });
      if (answer.status === 200 && answer.body === undefined) throw new Error('the answer is not JSON');
      if (!isBatch || answer.status !== 200) return calls.map(() => answer);
      if (answer.body.results?.length !== calls.length) throw new Error('the answer is none to a batch');
      return answer.body.results.map(({ status, replayed, ...body }) => ({ status, body }));
    } catch (error) {
      return calls.map(() => ({ error, wasCut: timeoutMs < attemptTimeoutMs }));
    }
  }
}
