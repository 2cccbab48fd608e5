// What a check of a ledger demands of each install, whatever the engine: that every entry follows
// the one before it, by its version, its hash and the rules, and that the row is what the entries
// make of it.
#pragma once

#include <optional>
#include <string>

#include "actors/ledger/entry.hpp"
#include "actors/ledger/row.hpp"
#include "persistence/chain.hpp"

namespace credits::persistence {

class AuditedChain {
 public:
  // Applies `entry` to the row, and takes its hash for the newest; what is wrong with it, if
  // anything. The row's id must be there.
  std::string follow(ledger::Row& row, std::optional<Hash>& newest, const ledger::Entry& entry,
                     const std::optional<Hash>& hash);

 private:
  Hasher hasher_;
};

// Whether a stored row is what its entries make. 1.0.0 stored no marks of overtaken reservations,
// so that fewer of these than computed are no fault.
bool agrees(const ledger::Row& stored, ledger::Row computed);

std::string difference_between(const ledger::Row& stored, const ledger::Row& computed);

std::string in_words(const ledger::ReplayKey& key);

}  // namespace credits::persistence
