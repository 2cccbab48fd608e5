// The rules that need no server: the balance of a row under a quota, and the backend that it allows.

import { given } from './checks.js';

function quotaOf(tier, quota) {
  if (!quota?.core) throw new TypeError('a quota is needed, with a tier core');
  return (Object.hasOwn(quota, tier) && quota[tier]) || quota.core;
}

// null: there is no limit.
function left(limit, consumed) {
  return limit == null ? null : Math.max(0, limit - (consumed || 0));
}

export function computeRemaining(row, quota) {
  const { lifetime, geminiCapLifetime, monthly, geminiCapMonthly } = quotaOf(row.tier_snapshot, quota);
  return lifetime != null
    ? {
      remaining: left(lifetime, row.lifetime_consumed),
      capped: 'lifetime',
      gemini_remaining: left(geminiCapLifetime, row.lifetime_gemini_consumed),
    }
    : {
      remaining: left(monthly, row.monthly_consumed),
      capped: 'monthly',
      gemini_remaining: left(geminiCapMonthly, row.monthly_gemini_consumed),
    };
}

export function planBackend(row, quota, options = {}) {
  const { hasHardware } = given('planBackend', options, ['hasHardware']);
  const { remaining, gemini_remaining: gemini } = computeRemaining(row, quota);
  const refused = (reason) => ({ allowed: false, backend: null, reason });
  const allowed = (backend) => ({ allowed: true, backend, reason: null });
  if (remaining === 0) return refused('out_of_credits');
  if (gemini !== 0) return allowed('gemini');
  return hasHardware ? allowed('hardware') : refused('gemini_cap_exceeded_no_hardware');
}
