// Sends calls: those of the same tick as one batch. Calls without an answer are sent again with the same idempotency
// key, until their time is over.

import { setTimeout as sleep } from 'node:timers/promises';
import { CreditsRefusedError, CreditsUnavailableError } from './errors.js';
import { batchRequest, singleRequest } from './requests.js';
import { Transport } from './transport.js';

const BACKOFF_MS = 25; // doubles with each attempt
const BACKOFF_MAX_MS = 2_000;

// Half of the pause is random, so that calls that failed together do not retry together.
function backoffMs(tries) {
  const most = Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** tries);
  return most / 2 + (most / 2) * Math.random();
}

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

// Damage lasts until an operator restores the ledger, so retrying would not help.
const isAnswer = ({ status, body }) => status >= 200 && (status < 500 || body?.code === 'storage_damaged');

// Whether an attempt without an answer may have taken effect.
const isAmbiguous = ({ error, wasSent = true, body }) => (error
  ? wasSent && !['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN'].includes(error.code)
  : body?.code !== 'overloaded');

function describe({ error, status, body }) {
  if (error) return error.message || error.code;
  return `the server answered ${status}${body?.code ? ` ${body.code}: ${body.detail}` : ''}`;
}

// Records the last outcome of a call, and resolves or rejects the call if that is an answer. An attempt cut short by the
// call's own deadline says less than the one before.
function take(call, outcome) {
  if (!call.last || !outcome.wasCut) call.last = outcome;
  if (!isAnswer(outcome)) call.mayHaveBeenDone ||= isAmbiguous(outcome);
  else if (outcome.status < 300) call.resolve(outcome);
  else call.reject(new CreditsRefusedError(outcome.status, outcome.body));
}

function unavailable({ op, operation, mayHaveBeenDone, last }, tries) {
  return new CreditsUnavailableError(
    `${op}: no answer from the credits service, tried ${tries} ${tries === 1 ? 'time' : 'times'}: ${describe(last)}`,
    { mayHaveBeenDone, idempotencyKey: operation?.idempotency_key, cause: last.error });
}

// Keeps the promise in the set until it has settled.
export function noted(set, promise) {
  set.add(promise);
  const forget = () => set.delete(promise);
  promise.then(forget, forget);
  return promise;
}

export class Delivery {
  #settings;
  #transport;
  #queue = []; // unsent calls
  #waiting = []; // retries that wait for a connection
  #idle; // number of connections free to use or open
  #underWay = new Set(); // unanswered calls

  constructor(settings) {
    this.#settings = settings;
    this.#idle = settings.connections;
    this.#transport = new Transport(settings);
  }

  // Returns the answer to an operation: {body, isReplayed}. Operations may be sent together.
  deliver(operation) {
    const call = this.#newCall({ op: operation.op, operation, request: singleRequest(operation) });
    if (this.#queue.push(call) === 1) setImmediate(() => this.#flush());
    return call.answer;
  }

  // The same for other requests; `others` may override token and attemptTimeoutMs.
  deliverAlone(op, request, others = {}) {
    const call = this.#newCall({ op, request, ...others });
    this.#send([call]);
    return call.answer;
  }

  // Resolves when all calls have their answers.
  async close() {
    await Promise.allSettled(this.#underWay);
    this.#transport.close();
  }

  #newCall(call) {
    const { timeoutMs, attemptTimeoutMs, token } = this.#settings;
    const made = { attemptTimeoutMs, token, ...call, deadline: performance.now() + timeoutMs, mayHaveBeenDone: false };
    made.answer = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
    noted(this.#underWay, made.answer);
    return made;
  }

  // Calls made while all connections are busy stay in the queue, and are then sent together.
  #flush() {
    while (this.#idle > 0 && this.#queue.length > 0) {
      this.#send(this.#queue.splice(0, this.#settings.batchMax));
    }
  }

  // Sends and retries calls until each has an answer or its time is over.
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

  // Returns an outcome for each call: {status, body, isReplayed, retryAfterMs}, or {error}.
  async #try(calls) {
    const [{ token, attemptTimeoutMs, request }] = calls;
    const leftMs = calls.at(-1).deadline - performance.now(); // the last call is the newest
    if (leftMs < 1) return calls.map(() => ({ error: new Error('all connections were busy'), wasSent: false }));
    const timeoutMs = Math.ceil(Math.min(attemptTimeoutMs, leftMs));
    const isBatch = calls.length > 1;
    try {
      const answer = await this.#transport.send(
        isBatch ? batchRequest(calls.map(({ operation }) => operation)) : request, { token, timeoutMs });
      if (answer.status < 300 && !isObject(answer.body)) throw new Error('the answer is not a JSON object');
      if (!isBatch || answer.status !== 200) return calls.map(() => answer);
      if (answer.body.results?.length !== calls.length) throw new Error('the answer does not match the batch');
      return answer.body.results.map(
        ({ status, replayed = false, ...body }) => ({ status, body, isReplayed: replayed }));
    } catch (error) {
      return calls.map(() => ({ error, wasCut: timeoutMs < attemptTimeoutMs }));
    }
  }
}
