// One line of an install's audit trail: the effect of a mutation. Applying all its entries in
// order, with apply() of rules.hpp, gives exactly the install's row.
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

// Random, so that it identifies the entries of one operation, whichever process wrote them. A
// reservation's id is derived from it.
struct MutationId {
  std::uint64_t high = 0;
  std::uint64_t low = 0;

  friend bool operator==(const MutationId&, const MutationId&) = default;
};

// The counters in the old ledger. Only import entries have them.
struct ImportedCounters {
  std::int64_t lifetime_consumed = 0;
  std::int64_t lifetime_gemini_consumed = 0;
  std::int64_t monthly_consumed = 0;
  std::int64_t monthly_gemini_consumed = 0;
  Time last_active_at{};

  friend bool operator==(const ImportedCounters&, const ImportedCounters&) = default;
};

// A request and its answer, verbatim, for a client that sends the request again.
struct Receipt {
  std::string request;  // in canonical form: equal for equal requests
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
  std::optional<std::string> reservation_id;  // begun or ended by this entry
  std::optional<Time> expires_at;             // of a reserve
  bool keeps_tier = false;                    // of a settle: a debit that began later set the tier
  std::optional<ImportedCounters> imported;   // of an import
  std::optional<Receipt> receipt;             // of a request with a key, and of a settle
  MutationId mutation_id;                     // the same for all entries of one operation

  friend bool operator==(const Entry&, const Entry&) = default;
};

// Finds an entry, and thereby its answer, again: an idempotency key, or the id of a reservation
// that the entry ended. The two kinds do not collide, although a key may look like a reservation's
// id.
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

// How long, at least, a replay key finds its entry.
inline constexpr std::chrono::hours replay_keys_remembered_for{24};

std::vector<ReplayKey> replay_keys_of(const Entry& entry);

}  // namespace credits::ledger
