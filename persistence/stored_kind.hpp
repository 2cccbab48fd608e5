// The number by which an entry's kind is stored and hashed, in both engines: that of its enum, but
// for a settle that keeps the row's tier, which came later.
#pragma once

#include <cstdint>

#include "actors/ledger/entry.hpp"

namespace credits::persistence {

inline constexpr std::int64_t settle_that_keeps_tier = 7;

inline std::int64_t stored_kind(const ledger::Entry& entry) {
  return entry.keeps_tier ? settle_that_keeps_tier : static_cast<std::int64_t>(entry.kind);
}

inline void set_stored_kind(ledger::Entry& entry, std::int64_t stored) {
  entry.keeps_tier = stored == settle_that_keeps_tier;
  entry.kind =
      entry.keeps_tier ? ledger::EntryKind::settle : static_cast<ledger::EntryKind>(stored);
}

}  // namespace credits::persistence
