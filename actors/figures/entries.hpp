// Counts the durable entries by kind, and the debits by tier and backend.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "actors/ledger/entry.hpp"

namespace credits::actors {

struct DebitsOfTier {
  std::string tier;
  ledger::Backend backend = ledger::Backend::gemini;
  std::uint64_t commits = 0;  // excluding settles
  std::uint64_t credits = 0;  // of commits and settles
};

class StoredEntries {
 public:
  static constexpr std::size_t kinds = static_cast<std::size_t>(ledger::EntryKind::expire) + 1;

  std::array<std::uint64_t, kinds> by_kind{};
  std::vector<DebitsOfTier> debits{};

  // Beyond this many, tiers count as one, `other`: imported rows may have any tier.
  static constexpr std::size_t debits_max = 200;

  void add(const ledger::Entry& entry);

 private:
  DebitsOfTier& debits_of(const std::string& tier, ledger::Backend backend);
};

// Any thread.
class EntryFigures {
 public:
  // Calls `work` with the figures, under the lock: once per batch.
  template <class Work>
  void change(Work work) {
    const std::lock_guard lock{mutex_};
    work(stored_);
  }

  StoredEntries get() const {
    const std::lock_guard lock{mutex_};
    return stored_;
  }

 private:
  mutable std::mutex mutex_;
  StoredEntries stored_;  // guarded by mutex_
};

}  // namespace credits::actors
