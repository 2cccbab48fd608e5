#include "actors/ledger/rules.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace credits::ledger {

namespace {

struct Held {
  std::int64_t all = 0;
  std::int64_t on_counter = 0;
  std::int64_t on_counter_gemini = 0;
};

// A hold on the monthly counter binds only the month it was taken in.
Held held_on(const Row& row, Counter counter, Month month, Time now) {
  Held held;
  for (const Reservation& reservation : row.reservations) {
    if (reservation.expires_at <= now) continue;
    held.all += reservation.credits;
    const bool same_month = counter == Counter::lifetime || reservation.month == month;
    if (reservation.counter != counter || !same_month) continue;
    held.on_counter += reservation.credits;
    if (reservation.backend == Backend::gemini) held.on_counter_gemini += reservation.credits;
  }
  return held;
}

struct Consumed {
  std::int64_t all = 0;
  std::int64_t gemini = 0;
};

Consumed consumed_on(const Row& row, Counter counter, Month month) {
  if (counter == Counter::lifetime) return {row.lifetime_consumed, row.lifetime_gemini_consumed};
  if (month > row.month) return {};
  return {row.monthly_consumed, row.monthly_gemini_consumed};
}

std::optional<std::int64_t> left_of(std::optional<std::int64_t> limit, std::int64_t used) {
  if (!limit) return std::nullopt;
  return std::max<std::int64_t>(0, *limit - used);
}

Entry entry_for(const Row& row, EntryKind kind, Time now) {
  Entry entry;
  entry.version = row.version + 1;
  entry.at = now;
  entry.kind = kind;
  entry.tier = row.tier_snapshot;
  entry.month = std::max(row.month, month_of(now));
  return entry;
}

void apply_import(Row& row, const Entry& entry) {
  const ImportedCounters& imported = entry.imported.value();
  row.lifetime_consumed = imported.lifetime_consumed;
  row.lifetime_gemini_consumed = imported.lifetime_gemini_consumed;
  row.monthly_consumed = imported.monthly_consumed;
  row.monthly_gemini_consumed = imported.monthly_gemini_consumed;
  row.last_active_at = imported.last_active_at;
}

void apply_commit(Row& row, const Entry& entry) {
  roll_over(row, entry.month);
  const bool lifetime = entry.counter == Counter::lifetime;
  (lifetime ? row.lifetime_consumed : row.monthly_consumed) += entry.credits;
  if (entry.backend == Backend::gemini) {
    (lifetime ? row.lifetime_gemini_consumed : row.monthly_gemini_consumed) += entry.credits;
  }
  row.last_active_at = entry.at;
}

void check_applicable(const Row& row, const Entry& entry) {
  if (entry.version != row.version + 1) {
    throw std::invalid_argument("entry of version " + std::to_string(entry.version) +
                                " does not follow version " + std::to_string(row.version));
  }
  if (entry.kind > EntryKind::commit) {
    throw std::invalid_argument("entry of version " + std::to_string(entry.version) +
                                " is of a kind that this release does not know");
  }
  if (entry.kind == EntryKind::import && !entry.imported) {
    throw std::invalid_argument("import entry of version " + std::to_string(entry.version) +
                                " has no counters");
  }
}

}  // namespace

const TierQuota& quota_of(const Quota& quota, std::string_view tier) {
  const auto found = quota.find(tier);
  return found != quota.end() ? found->second : quota.find(fallback_tier)->second;
}

Row blank_row(std::string install_id, Time now) {
  Row row;
  row.install_id = std::move(install_id);
  row.tier_snapshot = fallback_tier;
  row.month = month_of(now);
  row.last_active_at = now;
  return row;
}

void roll_over(Row& row, Month month) {
  if (month <= row.month) return;
  row.month = month;
  row.monthly_consumed = 0;
  row.monthly_gemini_consumed = 0;
}

Balance balance_of(const Row& row, std::string_view tier, const Quota& quota, Time now) {
  const TierQuota& limits = quota_of(quota, tier);
  const Month month = std::max(row.month, month_of(now));
  const Consumed consumed = consumed_on(row, limits.counter, month);
  const Held held = held_on(row, limits.counter, month, now);
  return {.remaining = left_of(limits.limit, consumed.all + held.on_counter),
          .capped = limits.counter,
          .gemini_remaining = left_of(limits.gemini_cap, consumed.gemini + held.on_counter_gemini),
          .held = held.all};
}

Plan plan(const Balance& balance, bool has_hardware, std::int64_t credits) {
  const auto has_room = [credits](std::optional<std::int64_t> left) {
    return !left || *left >= credits;
  };
  if (!has_room(balance.remaining)) return {std::nullopt, Denial::out_of_credits};
  if (has_room(balance.gemini_remaining)) return {Backend::gemini, std::nullopt};
  if (has_hardware) return {Backend::hardware, std::nullopt};
  return {std::nullopt, Denial::gemini_cap_exceeded_no_hardware};
}

Entry create_entry(const Row& row, Time now) { return entry_for(row, EntryKind::create, now); }

Entry commit_entry(const Row& row, const Debit& debit, const Quota& quota, Time now) {
  Entry entry = entry_for(row, EntryKind::commit, now);
  entry.tier = debit.tier;
  entry.backend = debit.backend;
  entry.credits = debit.credits;
  entry.counter = quota_of(quota, debit.tier).counter;
  return entry;
}

Entry import_entry(const Row& row, Time now) {
  Entry entry = entry_for(row, EntryKind::import, now);
  entry.month = row.month;
  entry.imported =
      ImportedCounters{row.lifetime_consumed, row.lifetime_gemini_consumed, row.monthly_consumed,
                       row.monthly_gemini_consumed, row.last_active_at};
  return entry;
}

void apply(Row& row, const Entry& entry) {
  check_applicable(row, entry);
  if (row.version == 0) row.month = entry.month;  // whatever the clock said when it was made
  switch (entry.kind) {
    case EntryKind::create:
      row.last_active_at = entry.at;
      break;
    case EntryKind::import:
      apply_import(row, entry);
      break;
    default:
      apply_commit(row, entry);
      break;
  }
  row.tier_snapshot = entry.tier;
  row.version = entry.version;
}

}  // namespace credits::ledger
