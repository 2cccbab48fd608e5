// What a call can throw, besides TypeError and RangeError for arguments that no server needs to see.

// From withCredits it also has what the function did, as that has been paid for: `result`, what it returned, or
// `thrown`, what it threw.
export class CreditsError extends Error {
  get name() { return this.constructor.name; }
}

// The server has refused: nothing was done, and the same call again is refused again.
export class CreditsRefusedError extends CreditsError {
  // `problem` is the server's answer (RFC 9457), or nothing where it was none.
  constructor(status, problem = {}) {
    super(`${problem.detail ?? problem.title ?? `the answer has status ${status}`}`
      + ` (${status}${problem.code ? ` ${problem.code}` : ''})`);
    this.status = status;
    this.code = problem.code;
    this.reason = problem.reason;
    this.field = problem.field;
  }
}

// There was no answer, or none but "not now", until the time was over.
export class CreditsUnavailableError extends CreditsError {
  constructor(message, { mayHaveBeenDone, idempotencyKey, cause }) {
    super(message, { cause });
    this.mayHaveBeenDone = mayHaveBeenDone;
    this.idempotencyKey = idempotencyKey; // the call again with this one is done once
  }
}
