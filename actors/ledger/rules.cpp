#include "actors/ledger/rules.hpp"

#include <algorithm>
#include <span>
#include <stdexcept>
#include <utility>

#include "actors/base/assert.hpp"

namespace credits::ledger {

namespace {

struct Held {
  std::int64_t all = 0;
  std::int64_t on_counter = 0;
  std::int64_t on_counter_gemini = 0;
};

// A hold on the monthly counter binds only the month it was taken in.
Held held_on(std::span<const Reservation> reservations, Counter counter, Month month, Time now) {
  Held held;
  for (const Reservation& reservation : reservations) {
    if (is_due(reservation, now)) continue;
    held.all += reservation.credits;
    const bool same_month = counter == Counter::lifetime || reservation.month == month;
    if (reservation.counter != counter || !same_month) continue;
    held.on_counter += reservation.credits;
    if (reservation.backend == Backend::gemini) held.on_counter_gemini += reservation.credits;
  }
  CREDITS_ENSURES(held.on_counter_gemini >= 0 && held.on_counter_gemini <= held.on_counter &&
                  held.on_counter <= held.all);
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
  // A row that does not exist yet has no month to keep.
  entry.month = row.version == 0 ? month_of(now) : std::max(row.month, month_of(now));
  return entry;
}

Entry entry_for(const Row& row, EntryKind kind, const Reservation& ended, Time now) {
  Entry entry = entry_for(row, kind, now);
  entry.tier = ended.tier;
  entry.backend = ended.backend;
  entry.credits = ended.credits;
  entry.counter = ended.counter;
  entry.month = ended.month;
  entry.reservation_id = ended.id;
  return entry;
}

bool ends_reservation(const Entry& entry) {
  return entry.reservation_id && entry.kind != EntryKind::reserve;
}

// The month of the row after `entry`, unless it already has a later one.
Month month_after(const Entry& entry) {
  switch (entry.kind) {
    case EntryKind::settle:
    case EntryKind::release:
    case EntryKind::expire:
      return month_of(entry.at);  // entry.month is that of the hold
    default:
      return entry.month;
  }
}

bool sets_tier(const Entry& entry) {
  switch (entry.kind) {
    case EntryKind::create:
    case EntryKind::import:
    case EntryKind::commit:
      return true;
    case EntryKind::settle:
      return !entry.keeps_tier;
    default:
      return false;
  }
}

void overtake(std::vector<Reservation>::iterator first, std::vector<Reservation>::iterator last) {
  std::for_each(first, last, [](Reservation& reservation) { reservation.is_overtaken = true; });
}

void apply_import(Row& row, const Entry& entry) {
  const ImportedCounters& imported = entry.imported.value();
  row.lifetime_consumed = imported.lifetime_consumed;
  row.lifetime_gemini_consumed = imported.lifetime_gemini_consumed;
  row.monthly_consumed = imported.monthly_consumed;
  row.monthly_gemini_consumed = imported.monthly_gemini_consumed;
  row.last_active_at = imported.last_active_at;
  bound_counters(row);
}

// A debit of an earlier month shows only in its entry: that month's counters are gone.
void apply_debit(Row& row, const Entry& entry) {
  row.last_active_at = entry.at;
  const bool lifetime = entry.counter == Counter::lifetime;
  if (!lifetime && entry.month != row.month) return;
  (lifetime ? row.lifetime_consumed : row.monthly_consumed) += entry.credits;
  if (entry.backend == Backend::gemini) {
    (lifetime ? row.lifetime_gemini_consumed : row.monthly_gemini_consumed) += entry.credits;
  }
  bound_counters(row);
}

// Marks the reservations that began before the debit.
void apply_overtaking(Row& row, const Entry& entry) {
  auto& reservations = row.reservations;
  auto last = reservations.end();
  if (entry.kind == EntryKind::settle) {
    if (entry.keeps_tier) return;
    last = std::find_if(reservations.begin(), last, [&entry](const Reservation& reservation) {
      return reservation.id == *entry.reservation_id;
    });
  }
  overtake(reservations.begin(), last);
}

void apply_reserve(Row& row, const Entry& entry) {
  row.reservations.push_back({entry.reservation_id.value(), entry.tier, entry.backend.value(),
                              entry.counter, entry.credits, entry.month, entry.expires_at.value(),
                              false});
}

void apply_end(Row& row, const std::string& reservation_id) {
  std::erase_if(row.reservations,
                [&](const Reservation& reservation) { return reservation.id == reservation_id; });
}

bool is_negative(const ImportedCounters& imported) {
  return std::min({imported.lifetime_consumed, imported.lifetime_gemini_consumed,
                   imported.monthly_consumed, imported.monthly_gemini_consumed}) < 0;
}

bool has_negative_counter(const Row& row) {
  return std::min({row.lifetime_consumed, row.lifetime_gemini_consumed, row.monthly_consumed,
                   row.monthly_gemini_consumed}) < 0;
}

std::string fault_of_reserve(const Row& row, const Entry& entry) {
  if (!entry.backend || !entry.reservation_id || !entry.expires_at) {
    return "is a reserve without a backend, an id or an end";
  }
  return find_reservation(row, *entry.reservation_id)
             ? "begins a reservation that the row already has"
             : "";
}

// Why `entry` cannot be applied to `row`; empty if it can.
std::string fault_of(const Row& row, const Entry& entry) {
  if (entry.version != row.version + 1) {
    return "does not follow version " + std::to_string(row.version);
  }
  if (entry.credits < 0) return "has negative credits";
  if (entry.credits > counter_max) return "has more credits than a counter can count";
  switch (entry.kind) {
    case EntryKind::create:
      return {};
    case EntryKind::import:
      if (!entry.imported) return "is an import without counters";
      return is_negative(*entry.imported) ? "is an import of negative counters" : "";
    case EntryKind::commit:
      return entry.backend ? "" : "is a commit without a backend";
    case EntryKind::reserve:
      return fault_of_reserve(row, entry);
    case EntryKind::settle:
    case EntryKind::release:
    case EntryKind::expire:
      return entry.reservation_id && find_reservation(row, *entry.reservation_id)
                 ? ""
                 : "ends a reservation that the row does not have";
  }
  return "is of a kind that this release does not know";
}

}  // namespace

const TierQuota& quota_of(const Quota& quota, std::string_view tier) {
  const auto found = quota.find(tier);
  if (found != quota.end()) return found->second;
  const auto fallback = quota.find(fallback_tier);
  CREDITS_EXPECTS(fallback != quota.end());
  return fallback->second;
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
  const Held held = held_on(row.reservations, limits.counter, month, now);
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

bool has_counter_room(const Row& row, const Debit& debit, const Quota& quota, Time now,
                      const Reservation* freed) {
  const Counter counter = quota_of(quota, debit.tier).counter;
  const Month month = std::max(row.month, month_of(now));
  const Consumed consumed = consumed_on(row, counter, month);
  Held held = held_on(row.reservations, counter, month, now);
  if (freed) {
    const Held without = held_on({freed, 1}, counter, month, now);
    held.on_counter -= without.on_counter;
    held.on_counter_gemini -= without.on_counter_gemini;
    CREDITS_EXPECTS(held.on_counter >= 0 && held.on_counter_gemini >= 0);  // it is one of the row's
  }
  const bool is_gemini = debit.backend == Backend::gemini;
  return consumed.all + held.on_counter + debit.credits <= counter_max &&
         (!is_gemini || consumed.gemini + held.on_counter_gemini + debit.credits <= counter_max);
}

Entry create_entry(const Row& row, Time now) {
  CREDITS_EXPECTS(row.version == 0);
  return entry_for(row, EntryKind::create, now);
}

Entry commit_entry(const Row& row, const Debit& debit, const Quota& quota, Time now) {
  CREDITS_EXPECTS(debit.credits >= 0);
  Entry entry = entry_for(row, EntryKind::commit, now);
  entry.tier = debit.tier;
  entry.backend = debit.backend;
  entry.credits = debit.credits;
  entry.counter = quota_of(quota, debit.tier).counter;
  return entry;
}

Entry import_entry(const Row& row, Time now) {
  Entry entry = entry_for(row, EntryKind::import, now);
  entry.month = std::min(row.month, month_of(now));
  entry.imported =
      ImportedCounters{row.lifetime_consumed, row.lifetime_gemini_consumed, row.monthly_consumed,
                       row.monthly_gemini_consumed, std::min(row.last_active_at, now)};
  return entry;
}

Entry reserve_entry(const Row& row, const Debit& hold, std::string reservation_id, Time expires_at,
                    const Quota& quota, Time now) {
  Entry entry = commit_entry(row, hold, quota, now);
  entry.kind = EntryKind::reserve;
  entry.reservation_id = std::move(reservation_id);
  entry.expires_at = expires_at;
  return entry;
}

Entry settle_entry(const Row& row, const Reservation& reservation, Backend backend,
                   std::int64_t credits, Time now) {
  CREDITS_EXPECTS(credits >= 0 && credits <= reservation.credits);
  Entry entry = entry_for(row, EntryKind::settle, reservation, now);
  entry.backend = backend;
  entry.credits = credits;
  entry.keeps_tier = reservation.is_overtaken;
  return entry;
}

Entry release_entry(const Row& row, const Reservation& reservation, Time now) {
  return entry_for(row, EntryKind::release, reservation, now);
}

Entry expire_entry(const Row& row, const Reservation& reservation, Time now) {
  return entry_for(row, EntryKind::expire, reservation, now);
}

bool is_due(const Reservation& reservation, Time now) { return reservation.expires_at <= now; }

const Reservation* find_reservation(const Row& row, std::string_view id) {
  const auto found =
      std::find_if(row.reservations.begin(), row.reservations.end(),
                   [id](const Reservation& reservation) { return reservation.id == id; });
  return found == row.reservations.end() ? nullptr : &*found;
}

std::size_t live_reservations(const Row& row, Time now) {
  return static_cast<std::size_t>(
      std::count_if(row.reservations.begin(), row.reservations.end(),
                    [now](const Reservation& reservation) { return !is_due(reservation, now); }));
}

bool has_gemini_room(const Row& row, const Reservation& reservation, std::int64_t credits,
                     const Quota& quota, Time now) {
  const TierQuota& limits = quota_of(quota, reservation.tier);
  if (!limits.gemini_cap) return true;
  const bool is_this_month = reservation.month == std::max(row.month, month_of(now));
  const bool is_capped_here = reservation.counter == limits.counter &&
                              (reservation.counter == Counter::lifetime || is_this_month);
  return is_capped_here &&
         balance_of(row, reservation.tier, quota, now).gemini_remaining.value() >= credits;
}

void bound_counters(Row& row) {
  for (std::int64_t* counter : {&row.lifetime_consumed, &row.lifetime_gemini_consumed,
                                &row.monthly_consumed, &row.monthly_gemini_consumed}) {
    *counter = std::min(*counter, counter_max);
  }
}

void apply(Row& row, const Entry& entry) {
  if (const std::string fault = fault_of(row, entry); !fault.empty()) {
    throw std::invalid_argument("entry of version " + std::to_string(entry.version) + " " + fault);
  }
  const std::uint64_t version = row.version;
  if (row.version == 0) {  // the blank row's times do not count
    row.month = entry.month;
    row.last_active_at = entry.at;
  }
  roll_over(row, month_after(entry));
  switch (entry.kind) {
    case EntryKind::create:
      break;
    case EntryKind::import:
      apply_import(row, entry);
      break;
    case EntryKind::commit:
    case EntryKind::settle:
      apply_debit(row, entry);
      apply_overtaking(row, entry);
      break;
    case EntryKind::reserve:
      apply_reserve(row, entry);
      break;
    case EntryKind::release:
    case EntryKind::expire:
      break;
  }
  if (ends_reservation(entry)) apply_end(row, *entry.reservation_id);
  if (sets_tier(entry)) row.tier_snapshot = entry.tier;
  row.version = entry.version;
  CREDITS_ENSURES(row.version == version + 1);
  CREDITS_ENSURES(!has_negative_counter(row));
}

std::vector<ReplayKey> replay_keys_of(const Entry& entry) {
  std::vector<ReplayKey> replay_keys;
  if (entry.idempotency_key) {
    replay_keys.push_back({ReplayKey::Kind::idempotency_key, *entry.idempotency_key});
  }
  if (ends_reservation(entry)) {
    replay_keys.push_back({ReplayKey::Kind::ended_reservation, *entry.reservation_id});
  }
  return replay_keys;
}

}  // namespace credits::ledger
