// One line of an install's audit trail: what a mutation did. A row is exactly what its entries make
// of it, one after the other, by apply() in rules.hpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "actors/ledger/row.hpp"

namespace credits::ledger {

enum class EntryKind : std::uint8_t { create, import, commit, reserve, settle, release, expire };

// Random, so that after a write whose outcome is unknown its author can look whether it is there.
struct MutationId {
  std::uint64_t high = 0;
  std::uint64_t low = 0;

  friend bool operator==(const MutationId&, const MutationId&) = default;
};

// What an import found in the old ledger; of no other kind of entry.
struct ImportedCounters {
  std::int64_t lifetime_consumed = 0;
  std::int64_t lifetime_gemini_consumed = 0;
  std::int64_t monthly_consumed = 0;
  std::int64_t monthly_gemini_consumed = 0;
  Time last_active_at{};

  friend bool operator==(const ImportedCounters&, const ImportedCounters&) = default;
};

struct Entry {
  std::uint64_t version = 0;  // of the row after this entry; gapless from 1
  Time at{};
  EntryKind kind = EntryKind::create;
  std::string tier;
  std::optional<Backend> backend;  // none: create, import
  std::int64_t credits = 0;
  Counter counter = Counter::lifetime;
  Month month{};  // the row's month after this entry; that of the hold for a settle
  std::optional<std::string> idempotency_key;
  std::optional<std::string> reservation_id;
  std::optional<ImportedCounters> imported;
  MutationId mutation_id;

  friend bool operator==(const Entry&, const Entry&) = default;
};

}  // namespace credits::ledger
