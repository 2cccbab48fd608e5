// The live installs with the most requests, in memory that does not grow with the number of
// installs. Each install has its own counter, and enters the list when it overtakes the last one in
// it.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "actors/figures/install_stats.hpp"

namespace credits::actors {

struct HotInstall {
  std::string install_id;
  std::uint64_t messages_handled = 0;
};

// Any thread; for each install one thread at a time.
class Hottest {
 public:
  static constexpr std::size_t size = 32;

  // Called after the install has received a request. Takes a lock only if the install may enter the
  // list.
  void received(const std::string& install_id, const std::shared_ptr<InstallStats>& stats) {
    if (stats->is_among_hottest.load(std::memory_order_relaxed)) return;
    const std::uint64_t count = stats->received.load(std::memory_order_relaxed);
    if (count > least_.load(std::memory_order_relaxed)) rise(install_id, stats, count);
  }

  // Called when the install's actor has ended.
  void ended(const InstallStats& stats);

  // Hottest first.
  std::vector<HotInstall> list() const;

 private:
  struct Place {
    std::string install_id;
    std::shared_ptr<InstallStats> stats;
  };

  void rise(const std::string& install_id, const std::shared_ptr<InstallStats>& stats,
            std::uint64_t count);
  std::vector<Place>::iterator least();

  mutable std::mutex mutex_;
  std::vector<Place> places_;  // guarded by mutex_
  // An install needs more requests than this to enter the list.
  std::atomic<std::uint64_t> least_{0};
};

}  // namespace credits::actors
