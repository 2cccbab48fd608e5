// How calls travel: those of the same tick as one batch; what got no answer is sent again under the same idempotency
// key, until its time is over.

import { setTimeout as sleep } from 'node:timers/promises';
import { CreditsRefusedError, CreditsUnavailableError } from './errors.js';
import { batchRequest, singleRequest } from './requests.js';
import { Transport } from './transport.js';

const BACKOFF_MS = 25; // doubled with each try
const BACKOFF_MAX_MS = 2_000;

// Half of it is chance, so that those who failed together do not come back together.
function backoffMs(tries) {
  const most = Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** tries);
  return most / 2 + (most / 2) * Math.random();
}

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

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
  else if (outcome.status < 300) call.resolve(outcome);
  else call.reject(new CreditsRefusedError(outcome.status, outcome.body));
}

function unavailable({ op, operation, mayHaveBeenDone, last }, tries) {
  return new CreditsUnavailableError(
    `${op}: no answer from the credits service, tried ${tries} ${tries === 1 ? 'time' : 'times'}: ${describe(last)}`,
    { mayHaveBeenDone, idempotencyKey: operation?.idempotency_key, cause: last.error });
}

// Kept in the set until it has settled.
export function noted(set, promise) {
  set.add(promise);
  const forget = () => set.delete(promise);
  promise.then(forget, forget);
  return promise;
}

export class Delivery {
  #settings;
  #transport;
  #queue = []; // calls that have not been sent
  #waiting = []; // who waits for a connection to send again
  #idle; // connections that may be used or made
  #underWay = new Set(); // calls

  constructor(settings) {
    this.#settings = settings;
    this.#idle = settings.connections;
    this.#transport = new Transport(settings);
  }

  // The answer to an operation: {body, isReplayed}. It may travel with others.
  deliver(operation) {
    const call = this.#newCall({ op: operation.op, operation, request: singleRequest(operation) });
    if (this.#queue.push(call) === 1) setImmediate(() => this.#flush());
    return call.answer;
  }

  // The same of a request that is no operation; `others` may have a token and an attemptTimeoutMs of its own.
  deliverAlone(op, request, others = {}) {
    const call = this.#newCall({ op, request, ...others });
    this.#send([call]);
    return call.answer;
  }

  // When all calls have their answers.
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

  // What comes while all connections are taken waits here, and then travels together.
  #flush() {
    while (this.#idle > 0 && this.#queue.length > 0) {
      this.#send(this.#queue.splice(0, this.#settings.batchMax));
    }
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

  // One outcome for each: {status, body, isReplayed, retryAfterMs}, or {error}.
  async #try(calls) {
    const [{ token, attemptTimeoutMs, request }] = calls;
    const leftMs = calls.at(-1).deadline - performance.now(); // the last came last
    if (leftMs < 1) return calls.map(() => ({ error: new Error('all connections were busy'), wasSent: false }));
    const timeoutMs = Math.ceil(Math.min(attemptTimeoutMs, leftMs));
    const isBatch = calls.length > 1;
    try {
      const answer = await this.#transport.send(
        isBatch ? batchRequest(calls.map(({ operation }) => operation)) : request, { token, timeoutMs });
      if (answer.status < 300 && !isObject(answer.body)) throw new Error('the answer is not a JSON object');
      if (!isBatch || answer.status !== 200) return calls.map(() => answer);
      if (answer.body.results?.length !== calls.length) throw new Error('the answer is none to a batch');
      return answer.body.results.map(
        ({ status, replayed = false, ...body }) => ({ status, body, isReplayed: replayed }));
    } catch (error) {
      return calls.map(() => ({ error, wasCut: timeoutMs < attemptTimeoutMs }));
    }
  }
}
