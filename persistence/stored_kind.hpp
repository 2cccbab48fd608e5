// The numbers by which enums are stored and hashed, in both engines. An entry's kind is stored as
// the number of its enum, except for a settle that keeps the row's tier, which was added later.
#pragma once

#include <cstdint>

#include "actors/ledger/entry.hpp"

namespace credits::persistence {

inline constexpr std::int64_t settle_that_keeps_tier = 7;

// Reordering an enum would corrupt every ledger.
static_assert(static_cast<int>(ledger::EntryKind::create) == 0);
static_assert(static_cast<int>(ledger::EntryKind::import) == 1);
static_assert(static_cast<int>(ledger::EntryKind::commit) == 2);
static_assert(static_cast<int>(ledger::EntryKind::reserve) == 3);
static_assert(static_cast<int>(ledger::EntryKind::settle) == 4);
static_assert(static_cast<int>(ledger::EntryKind::release) == 5);
static_assert(static_cast<int>(ledger::EntryKind::expire) == 6);
static_assert(static_cast<int>(ledger::Backend::gemini) == 0);
static_assert(static_cast<int>(ledger::Backend::hardware) == 1);
static_assert(static_cast<int>(ledger::Counter::lifetime) == 0);
static_assert(static_cast<int>(ledger::Counter::monthly) == 1);
static_assert(static_cast<int>(ledger::ReplayKey::Kind::idempotency_key) == 0);
static_assert(static_cast<int>(ledger::ReplayKey::Kind::ended_reservation) == 1);

inline std::int64_t stored_kind(const ledger::Entry& entry) {
  return entry.keeps_tier ? settle_that_keeps_tier : static_cast<std::int64_t>(entry.kind);
}

inline void set_stored_kind(ledger::Entry& entry, std::int64_t stored) {
  entry.keeps_tier = stored == settle_that_keeps_tier;
  entry.kind =
      entry.keeps_tier ? ledger::EntryKind::settle : static_cast<ledger::EntryKind>(stored);
}

}  // namespace credits::persistence
