// The rules that a check applies to each install, for every engine: each entry follows the one
// before it by its version, its hash and the ledger's rules, and the row is the result of its
// entries.
#pragma once

#include <optional>
#include <string>

#include "actors/ledger/entry.hpp"
#include "actors/ledger/row.hpp"
#include "persistence/chain.hpp"

namespace credits::persistence {

class AuditedChain {
 public:
  // Applies `entry` to the row, and makes its hash the newest. Returns the fault of the entry;
  // empty if it has none. The row must have its id.
  std::string follow(ledger::Row& row, std::optional<Hash>& newest, const ledger::Entry& entry,
                     const std::optional<Hash>& hash);

 private:
  Hasher hasher_;
};

// Whether a stored row is the result of its entries. 1.0.0 did not store which reservations were
// overtaken, so fewer marks than computed are no fault.
bool agrees(const ledger::Row& stored, ledger::Row computed);

std::string difference_between(const ledger::Row& stored, const ledger::Row& computed);

std::string in_words(const ledger::ReplayKey& key);

}  // namespace credits::persistence
