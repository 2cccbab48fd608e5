// A client for one ledger: its functions, and withCredits, which combines them.

import { randomUUID } from 'node:crypto';
import {
  callOptions, checkFunction, checkInstallId, checkReservationId, checkTimeMs, checkToken, checkWhole, given,
} from './checks.js';
import { Delivery, noted } from './delivery.js';
import { CreditsError, CreditsRefusedError, CreditsUnavailableError } from './errors.js';
import { batchRequest } from './requests.js';
import { Usage } from './usage.js';

const DEFAULTS = {
  timeoutMs: 10_000, // for a call, with all its attempts
  attemptTimeoutMs: 3_000, // for one attempt
  connections: 16,
  batchMax: 500, // operations sent together
};
const SETTINGS = ['url', 'token', 'adminToken', 'onUnavailable', 'tls', ...Object.keys(DEFAULTS)];
const BATCH_MAX = 8192; // the server's limit
const CONNECTIONS_MAX = 65_535; // number of ports
const HOLDS_OF_A_KEY_MAX = 20;

// The eight fields of the old ledger's rows, in order.
const ROW_FIELDS = ['install_id', 'tier_snapshot', 'lifetime_consumed', 'lifetime_gemini_consumed',
  'month', 'monthly_consumed', 'monthly_gemini_consumed', 'last_active_at'];

const rowOf = (install) => Object.fromEntries(ROW_FIELDS.map((field) => [field, install[field]]));

function settingsOf(options) {
  if (options === undefined) {
    throw new TypeError("the client needs the server's address: { url: 'http://127.0.0.1:8787' }");
  }
  const found = given('the client', options, SETTINGS);
  const settings = { ...DEFAULTS, adminToken: found.token, ...found };
  for (const name of ['token', 'adminToken']) {
    if (settings[name] !== undefined) checkToken(name, settings[name]);
  }
  if (settings.onUnavailable !== undefined) checkFunction('onUnavailable', settings.onUnavailable);
  checkTimeMs('timeoutMs', settings.timeoutMs);
  checkTimeMs('attemptTimeoutMs', settings.attemptTimeoutMs);
  checkWhole('connections', settings.connections, 1, CONNECTIONS_MAX);
  checkWhole('batchMax', settings.batchMax, 1, BATCH_MAX);
  return settings;
}

// The server no longer has a hold with that id, or its backend's cap has no room. A plain commit with the id as
// its key debits, and ends the hold if there is one.
const WANTS_PLAIN_COMMIT = new Set(
  ['reservation_expired', 'reservation_released', 'unknown_reservation', 'gemini_cap_exceeded']);

const isPast = ({ expires_at: at }) => Date.parse(at) <= Date.now();

// Checks onUnavailable's answer to a reserve: an allowed request must be debitable afterwards.
function checkDecision(decision) {
  if (typeof decision !== 'object' || decision === null || typeof decision.allowed !== 'boolean') {
    throw new TypeError('onUnavailable must answer a reserve with {allowed, backend, reason}');
  }
  if (!decision.allowed || decision.reservation_id) return;
  const { backend, tier, credits } = decision;
  callOptions('what onUnavailable allows', { backend, tier, credits }, ['backend', 'tier', 'credits'],
    { needed: ['backend', 'tier', 'credits'] });
}

// Returns {result}, or {hasThrown, thrown}.
async function outcomeOf(fn) {
  try {
    return { result: await fn() };
  } catch (error) {
    return { hasThrown: true, thrown: error };
  }
}

export class CreditsClient {
  #settings;
  #delivery;
  #working = new Set(); // functions of withCredits, including their debits
  #isClosed = false;

  constructor(options) {
    this.#settings = settingsOf(options);
    this.#delivery = new Delivery(this.#settings);
  }

  // Resolves if the server answers and knows the token.
  async check() {
    this.#checkOpen();
    const request = batchRequest([{ op: 'get', install_id: 'check' }]);
    const { body } = await this.#delivery.deliverAlone('check', request);
    if (body.results?.length !== 1) throw new CreditsError('the answer is not from creditsd');
  }

  async getOrCreateRow(installId, options = {}) {
    this.#checkOpen();
    const { onUnavailable } = callOptions('create', options, ['onUnavailable']);
    return this.#call('create', installId, { onUnavailable }, {}, rowOf);
  }

  async commitCredit(installId, options = {}) {
    this.#checkOpen();
    await this.#commit(installId, options);
  }

  async reserve(installId, options = {}) {
    this.#checkOpen();
    return this.#reserve(installId, options, isPast);
  }

  async settle(installId, reservationId, options = {}) {
    this.#checkOpen();
    return this.#settle(installId, reservationId, options);
  }

  async release(installId, reservationId, options = {}) {
    this.#checkOpen();
    return this.#release(installId, reservationId, options);
  }

  async withCredits(installId, options, fn) {
    this.#checkOpen();
    checkFunction('what withCredits runs', fn);
    return noted(this.#working, this.#work(installId, options, fn));
  }

  async snapshotAll() {
    this.#checkOpen();
    const { timeoutMs, adminToken } = this.#settings;
    const request = { method: 'GET', path: '/v1/snapshot', headers: {}, body: '' };
    const { body } = await this.#delivery.deliverAlone('snapshot', request,
      { token: adminToken, attemptTimeoutMs: timeoutMs });
    return Object.values(body.rows);
  }

  // Resolves when the functions of withCredits have ended and are debited, and all calls have their answers. Refuses
  // later calls.
  async close() {
    this.#isClosed = true;
    await Promise.allSettled(this.#working);
    await this.#delivery.close();
  }

  #checkOpen() {
    if (this.#isClosed) throw new CreditsError('the client is closed');
  }

  async #commit(installId, options) {
    const { idempotencyKey = randomUUID(), onUnavailable, ...fields } = callOptions('commit', options,
      ['backend', 'tier', 'credits', 'idempotencyKey', 'onUnavailable'], { needed: ['backend', 'tier'] });
    return this.#call('commit', installId, { onUnavailable }, { ...fields, idempotency_key: idempotencyKey });
  }

  // For a known key the server repeats its first answer word for word, though the hold may have ended since. The next
  // key is then derived from the hold, so that all callers with the first key arrive at the same one.
  async #reserve(installId, options, isOver) {
    const { idempotencyKey = randomUUID(), ...asked } = callOptions('reserve', options,
      ['tier', 'hasHardware', 'credits', 'ttlSeconds', 'idempotencyKey', 'onUnavailable']);
    let key = idempotencyKey;
    for (let holds = 0; holds < HOLDS_OF_A_KEY_MAX; holds++) {
      const { decision, isReplayed } = await this.#reserveUnder(key, installId, asked);
      if (!isReplayed || !(await isOver(decision))) return decision;
      key = `${decision.reservation_id}:again`;
    }
    throw new CreditsError(`reserve: ${HOLDS_OF_A_KEY_MAX} reservations under the idempotencyKey `
      + `${idempotencyKey} have ended; use another key`);
  }

  async #reserveUnder(key, installId, { hasHardware, ttlSeconds, onUnavailable, ...fields }) {
    let isReplayed = false;
    const read = (reservation, wasReplayed) => {
      isReplayed = wasReplayed;
      return { allowed: true, reason: null, ...reservation };
    };
    try {
      const decision = await this.#call('reserve', installId, { onUnavailable }, {
        ...fields, has_hardware: hasHardware, ttl_seconds: ttlSeconds, idempotency_key: key,
      }, read);
      return { decision, isReplayed };
    } catch (error) {
      if (!(error instanceof CreditsRefusedError) || error.status !== 402) throw error;
      return { decision: { allowed: false, backend: null, reason: error.reason }, isReplayed };
    }
  }

  async #settle(installId, reservationId, options) {
    checkReservationId(reservationId);
    const { onUnavailable, ...fields } = callOptions('settle', options, ['backend', 'credits', 'onUnavailable'],
      { creditsMin: 0 });
    return this.#call('settle', installId, { onUnavailable }, { reservation_id: reservationId, ...fields });
  }

  async #release(installId, reservationId, options) {
    checkReservationId(reservationId);
    const { onUnavailable } = callOptions('release', options, ['onUnavailable']);
    return this.#call('release', installId, { onUnavailable }, { reservation_id: reservationId });
  }

  // Holds credits, runs the function, and debits its usage.
  async #work(installId, options, fn) {
    const reservation = await this.#hold(installId, options);
    const { onUnavailable } = options ?? {};
    const usage = new Usage();
    const outcome = await outcomeOf(() => fn({ ...reservation, use: (spent) => usage.say(spent) }));
    const used = usage.end();
    if (outcome.hasThrown && !used) {
      // A hold that cannot be released expires by itself.
      if (reservation.reservation_id) {
        await this.#release(installId, reservation.reservation_id, { onUnavailable }).catch(() => {});
      }
      throw outcome.thrown;
    }
    try {
      await this.#debit(installId, reservation, used ?? {}, onUnavailable);
    } catch (error) {
      const { hasThrown, ...paidFor } = outcome;
      if (Object.isExtensible(error)) Object.assign(error, paidFor);
      throw error;
    }
    if (outcome.hasThrown) throw outcome.thrown;
    return outcome.result;
  }

  // Returns the reservation for the function, or the policy's replacement.
  async #hold(installId, options = {}) {
    const isKeyNew = options?.idempotencyKey === undefined;
    const answer = await this.#reserve(installId, options,
      isKeyNew ? isPast : (reservation) => this.#takeOver(installId, reservation, options));
    const { tier, credits = 1 } = options;
    const decision = answer && { tier, credits, ...answer };
    checkDecision(decision);
    const { allowed, reason } = decision;
    if (!allowed) {
      throw new CreditsRefusedError(402, { code: reason, reason, detail: `install ${installId} gets no credits` });
    }
    return decision;
  }

  // Ends the hold that an earlier call with the same key left, so that its credits are not held twice. Throws
  // `reservation_settled` if that call was debited: then its work is done.
  async #takeOver(installId, { reservation_id: id }, { onUnavailable }) {
    try {
      await this.#release(installId, id, { onUnavailable });
    } catch (error) {
      if (error?.code !== 'unknown_reservation') throw error;
    }
    return true;
  }

  // Debits the usage, even if the hold is gone. Usage beyond the hold is debited under a separate key.
  async #debit(installId, reservation, used, onUnavailable) {
    const { reservation_id: id, backend, tier, credits: held } = reservation;
    const { credits = held } = used;
    const debit = { backend, tier, ...used, onUnavailable };
    if (!id) {
      if (credits > 0) await this.#commit(installId, { ...debit, credits });
      return;
    }
    const parts = [this.#settleOrCommit(installId, id, used, debit, Math.min(credits, held))];
    if (credits > held) {
      parts.push(this.#commit(installId, { ...debit, credits: credits - held, idempotencyKey: `${id}:overage` }));
    }
    const failed = (await Promise.allSettled(parts)).find(({ status }) => status === 'rejected');
    if (failed) throw failed.reason;
  }

  async #settleOrCommit(installId, id, used, debit, credits) {
    const { onUnavailable } = debit;
    try {
      await this.#settle(installId, id, { ...used, ...('credits' in used && { credits }), onUnavailable });
    } catch (error) {
      if (!WANTS_PLAIN_COMMIT.has(error?.code)) throw error;
      if (credits > 0) await this.#commit(installId, { ...debit, credits, idempotencyKey: id });
    }
  }

  // Returns `read` of the answer; without an answer, the policy's decision.
  async #call(op, installId, { onUnavailable = this.#settings.onUnavailable }, fields, read = (body) => body) {
    checkInstallId(installId);
    try {
      const { body, isReplayed } = await this.#delivery.deliver({ op, install_id: installId, ...fields });
      return read(body, isReplayed);
    } catch (error) {
      if (!(error instanceof CreditsUnavailableError) || !onUnavailable) throw error;
      return onUnavailable(error, { op, installId });
    }
  }
}
