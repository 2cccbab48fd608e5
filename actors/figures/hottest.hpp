// The live installs with the most requests, in memory that does not grow with their number: each
// actor counts for itself, and only one that overtakes the least of the hottest takes its place.
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

// Any thread; one at a time for each install.
class Hottest {
 public:
  static constexpr std::size_t size = 32;

  // The install has received one more request. Takes no lock unless it is among the hottest now.
  void received(const std::string& install_id, const std::shared_ptr<InstallStats>& stats) {
    if (stats->is_among_hottest.load(std::memory_order_relaxed)) return;
    const std::uint64_t count = stats->received.load(std::memory_order_relaxed);
    if (count > least_.load(std::memory_order_relaxed)) rise(install_id, stats, count);
  }

  // The install's actor has ended.
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
  std::vector<Place> places_;            // guarded by mutex_
  std::atomic<std::uint64_t> least_{0};  // who has no more requests has no place
};

}  // namespace credits::actors
