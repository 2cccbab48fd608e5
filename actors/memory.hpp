// What an install knows of the names that its entries are remembered by, without asking the store
// each time, and with bounded memory: a hash of each name, as long as they are few, so that a name
// without its hash is known to be new; and the entries that are still on their way to the store.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "actors/operation.hpp"

namespace credits::actors {

class Memory {
 public:
  // The names that the store has; none: more than `names_max`.
  void start(std::optional<std::vector<ledger::ReplayKey>> stored, std::size_t replay_keys_max);

  // An entry that is on its way to the store.
  void add(const ledger::Entry& entry);

  // The store has every entry up to this version.
  void forget_stored(std::uint64_t durable_version);

  // Whether look_up() finds what there is, without an answer from the store.
  bool knows(const ledger::ReplayKey& key) const;

  // What the store has answered. It holds until forget_recalled(), or until an entry with the name
  // is added.
  void learn(std::vector<ledger::ReplayKey> replay_keys,
             std::vector<std::optional<ledger::Entry>> entries);
  void forget_recalled() { recalled_.clear(); }

  // Precondition: knows() each name.
  Remembered look_up(const std::vector<ledger::ReplayKey>& replay_keys) const;

 private:
  bool may_be_stored(const ledger::ReplayKey& key) const;

  std::size_t replay_keys_max_ = 0;
  bool knows_all_ = false;
  std::vector<std::size_t> hashes_;  // sorted; of all names, if it knows all
  std::size_t forget_at_ = 0;        // the number of entries to look through for stored ones
  Remembered on_their_way_;
  std::uint64_t newest_on_its_way_ = 0;  // the version of
  std::unordered_map<ledger::ReplayKey, std::optional<ledger::Entry>, ledger::ReplayKeyHash>
      recalled_;
};

}  // namespace credits::actors
