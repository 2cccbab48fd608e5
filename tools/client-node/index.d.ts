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

/** A balance net of what live reservations hold. */
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

/** What a tier may consume: a lifetime or a monthly budget; null or absent: no limit. */
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
 * What a call results in when the service gives no answer in time. What it returns takes the place of
 * the answer; what it throws is thrown. Without it CreditsUnavailableError is thrown.
 */
export type OnUnavailable = (error: CreditsUnavailableError, call: UnavailableCall) => any;

/** A wrong option is refused where it is given, by a TypeError or RangeError; one that is undefined is left out. */
export interface CallOptions {
  /** Instead of the client's. */
  onUnavailable?: OnUnavailable | undefined;
}

export interface CommitOptions extends CallOptions {
  backend: Backend;
  tier: string;
  /** 1 to 1,000,000; default 1. */
  credits?: number | undefined;
  /** Commits with the same one are done once; default: a new one for each call. */
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
   * Reserves with the same one are done once, until the time of their hold is over: then credits are reserved anew.
   * `withCredits` takes over the hold that an earlier call with the same one left; if that call was debited, it throws
   * CreditsRefusedError with the code `reservation_settled`, and runs nothing. Default: a new one for each call.
   */
  idempotencyKey?: string | undefined;
}

export interface SettleOptions extends CallOptions {
  /** Default: the reservation's. */
  backend?: Backend | undefined;
  /** 0 up to what is held; default: all of it. */
  credits?: number | undefined;
}

export interface CreditsOptions {
  /** Of the server, such as `http://127.0.0.1:8787`. */
  url: string;
  /** A relay's token, where the server wants one. */
  token?: string | undefined;
  /** An admin's, for snapshotAll; default: `token`. */
  adminToken?: string | undefined;
  onUnavailable?: OnUnavailable | undefined;
  /** Of a call, with all its tries; default 10,000. */
  timeoutMs?: number | undefined;
  /** Of one try; default 3,000. */
  attemptTimeoutMs?: number | undefined;
  /** That are open at most; default 16. */
  connections?: number | undefined;
  /** Calls that travel together at most, 1 to 8,192; default 500. */
  batchMax?: number | undefined;
  /** Options of Node's https.Agent, such as `ca`. */
  tls?: object | undefined;
}

export interface Spent {
  /** Default: the backend that was reserved. */
  backend?: Backend | undefined;
  /** 0 to 1,000,000, also more than is held; default: all that is held. */
  credits?: number | undefined;
}

/** What `withCredits` runs gets the reservation, or what onUnavailable gave in its place. */
export interface CreditsInUse extends Omit<Reservation, 'reservation_id' | 'expires_at' | 'balance'> {
  reservation_id?: string | undefined;
  expires_at?: string | undefined;
  balance?: BalanceWithHolds | undefined;
  /**
   * Says what the function has used so far; the last word on each counts. It is debited even if the function throws
   * afterwards. A wrong value throws here, a TypeError or RangeError; so does a call after the function has ended.
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
   * Reserves, runs the function, and debits what it said it used: all that was reserved if it said nothing, nothing if
   * it said nothing and threw. What the function threw is thrown on, once it is debited.
   */
  withCredits<Result>(installId: string, options: ReserveOptions,
    fn: (credits: CreditsInUse) => Result | Promise<Result>): Promise<Result>;
  snapshotAll(): Promise<Row[]>;
  /**
   * Waits for the functions of withCredits, for their debits and for the answers to all calls, and closes the
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
  /** From withCredits, where the debit failed: what its function returned, as that has been paid for. */
  result?: unknown;
  /** The same of a function that threw. */
  thrown?: unknown;
}

/** The server has refused, and has done nothing. */
export class CreditsRefusedError extends CreditsError {
  status: number;
  code?: string | undefined;
  reason?: RefusalReason | undefined;
  /** The field at fault, by its name in the API. */
  field?: string | undefined;
}

/** There was no answer in time. */
export class CreditsUnavailableError extends CreditsError {
  /** False: it was surely not done. */
  mayHaveBeenDone: boolean;
  /** Of a commit or reserve: called again with this key it is done once. */
  idempotencyKey?: string | undefined;
}
