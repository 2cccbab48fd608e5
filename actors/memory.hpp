// An install's knowledge of its replay keys, in bounded memory, so that it need not ask the store
// each time. It has a hash of each key as long as there are few: a key without a hash is new. It
// also has the entries that are still on their way to the store.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "actors/judge.hpp"

namespace credits::actors {

class Memory {
 public:
  // `stored`: the replay keys that the store has; nullopt: more than `replay_keys_max`.
  void start(std::optional<std::vector<ledger::ReplayKey>> stored, std::size_t replay_keys_max);

  // Adds an entry that is on its way to the store.
  void add(const ledger::Entry& entry);

  // Drops entries that the store has: those up to this version.
  void forget_stored(std::uint64_t durable_version);

  // Whether look_up() can answer for this key without the store.
  bool knows(const ledger::ReplayKey& key) const;

  // Adds the store's reply: an entry, or nullopt, for each key. It is valid until
  // forget_recalled(), or until an entry with that key is added.
  void learn(std::vector<ledger::ReplayKey> replay_keys,
             std::vector<std::optional<ledger::Entry>> entries);
  void forget_recalled() { recalled_.clear(); }

  // Precondition: knows() each key.
  Remembered look_up(const std::vector<ledger::ReplayKey>& replay_keys) const;

 private:
  bool may_be_stored(const ledger::ReplayKey& key) const;

  std::size_t replay_keys_max_ = 0;
  bool knows_all_ = false;
  std::vector<std::size_t> hashes_;  // sorted; of all replay keys if knows_all_, else empty
  std::size_t forget_at_ = 0;        // the size of on_their_way_ at which to drop stored entries
  Remembered on_their_way_;
  std::uint64_t newest_on_its_way_ = 0;  // the newest version in on_their_way_
  std::unordered_map<ledger::ReplayKey, std::optional<ledger::Entry>, ledger::ReplayKeyHash>
      recalled_;
};

}  // namespace credits::actors
