// Checks arguments before anything is sent: errors name the argument and its value.

import { inspect } from 'node:util';

export const CREDITS_MAX = 1_000_000; // in one commit or reservation
const TTL_SECONDS_MAX = 86_400;
const TIMER_MS_MAX = 2 ** 31 - 1; // the limit of Node's timers

const show = (value) => (typeof value === 'string' ? JSON.stringify(value.slice(0, 200))
  : inspect(value, { depth: 0, breakLength: Infinity }));

function wrongType(name, wanted, value) {
  return new TypeError(`${name} must be ${wanted}, not ${show(value)}`);
}

export function checkWhole(name, value, least, most) {
  const wanted = `a whole number from ${least} to ${most}`;
  if (typeof value !== 'number') throw wrongType(name, wanted, value);
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new RangeError(`${name} must be ${wanted}, not ${value}`);
  }
}

function checkBoolean(name, value) {
  if (typeof value !== 'boolean') throw wrongType(name, 'true or false', value);
}

export function checkFunction(name, value) {
  if (typeof value !== 'function') throw wrongType(name, 'a function', value);
}

function checkBackend(name, value) {
  if (value !== 'gemini' && value !== 'hardware') throw wrongType(name, "'gemini' or 'hardware'", value);
}

function checkTier(name, value) {
  if (typeof value === 'string' && value && Buffer.byteLength(value) <= 64) return;
  throw wrongType(name, 'the name of a tier, a string of 1 to 64 bytes', value);
}

function checkVisible(name, value, most) {
  if (typeof value === 'string' && /^[!-~]+$/.test(value) && value.length <= most) return;
  throw wrongType(name, `a string of 1 to ${most} printable ASCII characters without space`, value);
}

// The error omits the value, which is a secret.
export function checkToken(name, value) {
  if (typeof value === 'string' && /^[!-~]{1,4096}$/.test(value)) return;
  throw new TypeError(`${name} must be a string of 1 to 4096 printable ASCII characters without space`);
}

function checkKey(name, value) {
  checkVisible(name, value, 128);
  if (value.includes('%')) throw wrongType(name, 'without %', value);
}

// For a path segment: proxies treat `.` and `..` as folders.
function checkId(name, value) {
  checkVisible(name, value, 128);
  if (value === '.' || value === '..') throw wrongType(name, 'a name other than . and ..', value);
}

export function checkReservationId(value) {
  checkId('reservationId', value);
}

export function checkInstallId(value) {
  if (value === undefined || value === null || value === '') throw new TypeError('an installId is needed');
  checkId('installId', value);
}

export function checkTimeMs(name, value) {
  checkWhole(name, value, 1, TIMER_MS_MAX);
}

const CHECKS = {
  backend: checkBackend,
  tier: checkTier,
  hasHardware: checkBoolean,
  idempotencyKey: checkKey,
  onUnavailable: checkFunction,
  ttlSeconds: (name, value) => checkWhole(name, value, 1, TTL_SECONDS_MAX),
};

// Picks the options given. Rejects unknown ones, so that a misspelt option does not pass as an omitted one.
export function given(what, options, names) {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw wrongType(`the options of ${what}`, 'an object', options);
  }
  const unknown = Object.keys(options).find((name) => !names.includes(name));
  if (unknown !== undefined) throw new TypeError(`${what} has no option ${unknown}: it has ${names.join(', ')}`);
  return Object.fromEntries(names.map((name) => [name, options[name]]).filter(([, value]) => value !== undefined));
}

// Checks and returns the given options of a call; those in `needed` are required.
export function callOptions(what, options, names, { needed = [], creditsMin = 1 } = {}) {
  const found = given(what, options, names);
  for (const name of new Set([...needed, ...Object.keys(found)])) {
    const label = `${what}: ${name}`;
    if (name === 'credits') checkWhole(label, found.credits, creditsMin, CREDITS_MAX);
    else CHECKS[name](label, found[name]);
  }
  return found;
}
