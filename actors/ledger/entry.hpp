// One line of an install's audit trail: what a mutation did. A row is exactly what its entries make
// of it, one after the other, by apply() in rules.hpp.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "actors/ledger/row.hpp"

namespace credits::ledger {

enum class EntryKind : std::uint8_t { create, import, commit, reserve, settle, release, expire };

// Random, so that the entries of one operation can be told from all others, whoever wrote them. A
// reservation's id is made of it.
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

// What a request was and what it was answered, word for word, for the one who sends it again.
struct Receipt {
  std::string request;  // as sent, in one spelling: equal for equal requests
  std::int32_t status = 0;
  std::string body;

  friend bool operator==(const Receipt&, const Receipt&) = default;
};

struct Entry {
  std::uint64_t version = 0;  // of the row after this entry; gapless from 1
  Time at{};
  EntryKind kind = EntryKind::create;
  std::string tier;
  std::optional<Backend> backend;  // none: create, import
  std::int64_t credits = 0;        // debited, held, or freed without a debit
  Counter counter = Counter::lifetime;
  Month month{};  // that of the hold for settle, release, expire; else the row's after this entry
  std::optional<std::string> idempotency_key;
  std::optional<std::string> reservation_id;  // the one it begins or ends
  std::optional<Time> expires_at;             // of a reserve
  bool keeps_tier = false;                    // of a settle: a debit that began later set the tier
  std::optional<ImportedCounters> imported;   // of an import
  std::optional<Receipt> receipt;             // of a request with a key, and of a settle
  MutationId mutation_id;                     // the same for all entries of one operation

  friend bool operator==(const Entry&, const Entry&) = default;
};

// Under which an entry is found again: an idempotency key, or the id of a reservation that it
// ended. They do not get in each other's way: a key may read like a reservation's id.
struct ReplayKey {
  enum class Kind : std::uint8_t { idempotency_key, ended_reservation };

  Kind kind = Kind::idempotency_key;
  std::string text;

  friend bool operator==(const ReplayKey&, const ReplayKey&) = default;
};

struct ReplayKeyHash {
  std::size_t operator()(const ReplayKey& key) const {
    return std::hash<std::string>{}(key.text) + static_cast<std::size_t>(key.kind);
  }
};

// How long a name finds its entry, at least.
inline constexpr std::chrono::hours replay_keys_remembered_for{24};

std::vector<ReplayKey> replay_keys_of(const Entry& entry);

}  // namespace credits::ledger
