/** A row of the ledger, as the old module kept it. */
export interface Row {
  install_id: string;
  tier_snapshot: string;
  lifetime_consumed: number;
  lifetime_gemini_consumed: number;
  /** `YYYY-MM`, UTC. */
  month: string;
  monthly_consumed: number;
  monthly_gemini_consumed: number;
  /** ISO 8601, UTC. */
  last_active_at: string;
}

export interface Balance {
  /** Credits; null: unlimited. */
  remaining: number | null;
  capped: 'lifetime' | 'monthly';
  /** Credits; null: no Gemini cap. */
  gemini_remaining: number | null;
}

/** A balance, net of live reservations. */
export interface BalanceWithHolds extends Balance {
  held: number;
}

export interface Install extends Row {
  /** Number of mutations so far. */
  version: number;
  balance: BalanceWithHolds;
}

export type Backend = 'gemini' | 'hardware';
export type RefusalReason = 'out_of_credits' | 'gemini_cap_exceeded_no_hardware';

export type Plan =
  | { allowed: true; backend: Backend; reason: null }
  | { allowed: false; backend: null; reason: RefusalReason };

/** A tier's limits: a lifetime or a monthly budget; null or absent: no limit. */
export interface TierQuota {
  lifetime?: number | null | undefined;
  geminiCapLifetime?: number | null | undefined;
  monthly?: number | null | undefined;
  geminiCapMonthly?: number | null | undefined;
}

export type Quota = { core: TierQuota } & { [tier: string]: TierQuota };

export interface Reservation {
  allowed: true;
  reason: null;
  reservation_id: string;
  backend: Backend;
  tier: string;
  credits: number;
  /** ISO 8601, UTC. */
  expires_at: string;
  balance: BalanceWithHolds;
}

export type Refusal = Extract<Plan, { allowed: false }>;

export interface UnavailableCall {
  op: 'create' | 'commit' | 'reserve' | 'settle' | 'release';
  installId: string;
}

/**
 * Decides the result of a call that the service does not answer in time: its return value replaces the
 * answer, its exception is thrown. Without it, CreditsUnavailableError is thrown.
 */
export type OnUnavailable = (error: CreditsUnavailableError, call: UnavailableCall) => any;

/** A wrong option is rejected at the call, by a TypeError or RangeError; undefined counts as omitted. */
export interface CallOptions {
  /** Overrides the client's. */
  onUnavailable?: OnUnavailable | undefined;
}

export interface CommitOptions extends CallOptions {
  backend: Backend;
  tier: string;
  /** 1 to 1,000,000; default 1. */
  credits?: number | undefined;
  /** Commits with the same key take effect once; default: a new key for each call. */
  idempotencyKey?: string | undefined;
}

export interface ReserveOptions extends CallOptions {
  /** Default: the tier of the install's last commit. */
  tier?: string | undefined;
  /** Default: the server's setting. */
  hasHardware?: boolean | undefined;
  /** 1 to 1,000,000; default 1. */
  credits?: number | undefined;
  /** 1 to 86,400; default 600. */
  ttlSeconds?: number | undefined;
  /**
   * Reserves with the same key take effect once, until their hold expires: then credits are reserved anew.
   * `withCredits` replaces the hold that an earlier call with the same key left; if that call was debited, it throws
   * CreditsRefusedError with the code `reservation_settled`, and does not run the function. Default: a new key for each
   * call.
   */
  idempotencyKey?: string | undefined;
}

export interface SettleOptions extends CallOptions {
  /** Default: the reservation's. */
  backend?: Backend | undefined;
  /** 0 up to the held credits; default: all of them. */
  credits?: number | undefined;
}

export interface CreditsOptions {
  /** The server's URL, such as `http://127.0.0.1:8787`. */
  url: string;
  /** A relay's token, if the server requires one. */
  token?: string | undefined;
  /** An admin's token, for snapshotAll; default: `token`. */
  adminToken?: string | undefined;
  onUnavailable?: OnUnavailable | undefined;
  /** Limit for a call with all its attempts; default 10,000. */
  timeoutMs?: number | undefined;
  /** Limit for one attempt; default 3,000. */
  attemptTimeoutMs?: number | undefined;
  /** Maximum of open connections; default 16. */
  connections?: number | undefined;
  /** Maximum of calls in one batch, 1 to 8,192; default 500. */
  batchMax?: number | undefined;
  /** Options of Node's https.Agent, such as `ca`. */
  tls?: object | undefined;
}

export interface Spent {
  /** Default: the reserved backend. */
  backend?: Backend | undefined;
  /** 0 to 1,000,000, even more than is held; default: all held credits. */
  credits?: number | undefined;
}

/** The argument of the function that `withCredits` runs: the reservation, or onUnavailable's replacement. */
export interface CreditsInUse extends Omit<Reservation, 'reservation_id' | 'expires_at' | 'balance'> {
  reservation_id?: string | undefined;
  expires_at?: string | undefined;
  balance?: BalanceWithHolds | undefined;
  /**
   * Reports the function's usage so far; the last value of each field counts. It is debited even if the function throws
   * afterwards. Throws a TypeError or RangeError for a wrong value, and an error after the function has ended.
   */
  use(spent: Spent): void;
}

export class CreditsClient {
  constructor(options: CreditsOptions);
  /** Resolves if the server answers and knows the token. */
  check(): Promise<void>;
  getOrCreateRow(installId: string, options?: CallOptions): Promise<Row>;
  commitCredit(installId: string, options: CommitOptions): Promise<void>;
  reserve(installId: string, options?: ReserveOptions): Promise<Reservation | Refusal>;
  settle(installId: string, reservationId: string, options?: SettleOptions): Promise<Install>;
  release(installId: string, reservationId: string, options?: CallOptions): Promise<Install>;
  /**
   * Reserves, runs the function, and debits the usage that it reported: without a report the whole reservation, or
   * nothing if it threw. The function's exception is rethrown after the debit.
   */
  withCredits<Result>(installId: string, options: ReserveOptions,
    fn: (credits: CreditsInUse) => Result | Promise<Result>): Promise<Result>;
  snapshotAll(): Promise<Row[]>;
  /**
   * Waits for the functions of withCredits, for their debits and for the answers to all calls, then closes the
   * connections. Later calls are refused. A function of withCredits must not wait for it.
   */
  close(): Promise<void>;
}

export function initCredits(options: CreditsOptions): Promise<void>;
export function closeCredits(): Promise<void>;
export function computeRemaining(row: Row, quota: Quota): Balance;
export function planBackend(row: Row, quota: Quota, options?: { hasHardware?: boolean | undefined }): Plan;
export const getOrCreateRow: CreditsClient['getOrCreateRow'];
export const commitCredit: CreditsClient['commitCredit'];
export const reserve: CreditsClient['reserve'];
export const settle: CreditsClient['settle'];
export const release: CreditsClient['release'];
export const withCredits: CreditsClient['withCredits'];
export const snapshotAll: CreditsClient['snapshotAll'];

export class CreditsError extends Error {
  /** From withCredits, if the debit failed: the function's return value, because that work has been paid for. */
  result?: unknown;
  /** Likewise, the exception of a function that threw. */
  thrown?: unknown;
}

/** The server refused, and the call had no effect. */
export class CreditsRefusedError extends CreditsError {
  status: number;
  code?: string | undefined;
  reason?: RefusalReason | undefined;
  /** The API's name of the field at fault. */
  field?: string | undefined;
}

/** There was no answer in time. */
export class CreditsUnavailableError extends CreditsError {
  /** False: the call certainly had no effect. */
  mayHaveBeenDone: boolean;
  /** For a commit or reserve: repeated with this key it takes effect once. */
  idempotencyKey?: string | undefined;
}
