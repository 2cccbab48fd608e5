// The errors of a call, besides TypeError and RangeError for wrong arguments.

// From withCredits they also carry the function's return value as `result`, or its exception as `thrown`, because that
// work has been paid for.
export class CreditsError extends Error {
  get name() { return this.constructor.name; }
}

// The server refused: the call had no effect, and would be refused again.
export class CreditsRefusedError extends CreditsError {
  // `problem` is the server's RFC 9457 answer, undefined if the answer was something else.
  constructor(status, problem = {}) {
    super(`${problem.detail ?? problem.title ?? `the answer has status ${status}`}`
      + ` (${status}${problem.code ? ` ${problem.code}` : ''})`);
    this.status = status;
    this.code = problem.code;
    this.reason = problem.reason;
    this.field = problem.field;
  }
}

// Until its time was over, the call got no answer, or only 5xx.
export class CreditsUnavailableError extends CreditsError {
  constructor(message, { mayHaveBeenDone, idempotencyKey, cause }) {
    super(message, { cause });
    this.mayHaveBeenDone = mayHaveBeenDone;
    this.idempotencyKey = idempotencyKey; // repeated with this key, the call takes effect once
  }
}
