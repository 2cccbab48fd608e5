// A memory store that counts its calls.
#pragma once

#include <atomic>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "tests/memory_store.hpp"

namespace credits::tests {

class ObservedStore : public persistence::MemoryStore {
 public:
  std::vector<persistence::StampedRow> load(std::span<const std::string> ids) override {
    loaded_rows += ids.size();
    return MemoryStore::load(ids);
  }

  std::vector<bool> are_current(std::span<const persistence::Seen> seen) override {
    ++comparisons;
    return MemoryStore::are_current(seen);
  }

  std::vector<std::optional<ledger::Entry>> recall(
      const std::string& install_id, std::span<const ledger::ReplayKey> replay_keys) override {
    ++recalls;
    return MemoryStore::recall(install_id, replay_keys);
  }

  std::vector<persistence::Appended> append(
      std::span<const persistence::Mutation> mutations) override {
    ++appends;
    return MemoryStore::append(mutations);
  }

  bool is_shared() const override { return shared; }

  void ping() override {
    if (unreachable)
      throw persistence::StoreError{persistence::StoreErrorKind::unavailable,
                                    "observed store: cannot be reached"};
  }

  void checkpoint() override {
    if (checkpoints_to_fail > 0) {
      --checkpoints_to_fail;
      throw persistence::StoreError{persistence::StoreErrorKind::unavailable,
                                    "observed store: checkpoint fails on command"};
    }
    ++checkpoints;
  }

  // Bypasses the faults meant for the actors.
  std::optional<ledger::Row> row(const std::string& id) {
    const auto rows = list({.after = {}, .prefix = id, .tier = {}, .limit = 1});
    return rows.empty() || rows.front().install_id != id ? std::nullopt
                                                         : std::optional{rows.front()};
  }

  // Oldest first.
  std::vector<ledger::Entry> history(const std::string& id) {
    auto entries = MemoryStore::entries(id, std::numeric_limits<std::uint64_t>::max(),
                                        std::numeric_limits<std::size_t>::max());
    return {entries.rbegin(), entries.rend()};
  }

  bool shared = false;
  std::atomic<bool> unreachable{false};
  std::atomic<std::size_t> loaded_rows{0};
  std::atomic<std::size_t> recalls{0};
  std::atomic<std::size_t> appends{0};
  std::atomic<std::size_t> comparisons{0};
  std::atomic<std::size_t> checkpoints{0};
  std::atomic<std::size_t> checkpoints_to_fail{0};
};

}  // namespace credits::tests
