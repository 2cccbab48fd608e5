#include "actors/figures/hottest.hpp"

#include <algorithm>

#include "actors/base/assert.hpp"

namespace credits::actors {

namespace {

std::uint64_t requests_of(const InstallStats& stats) {
  return stats.received.load(std::memory_order_relaxed);
}

}  // namespace

void Hottest::rise(const std::string& install_id, const std::shared_ptr<InstallStats>& stats,
                   std::uint64_t count) {
  const std::lock_guard lock{mutex_};
  if (places_.size() == size) {
    const auto coldest = least();
    least_ = requests_of(*coldest->stats);
    if (count <= least_) return;
    coldest->stats->is_among_hottest = false;
    places_.erase(coldest);
  }
  stats->is_among_hottest = true;
  places_.push_back({install_id, stats});
  CREDITS_ENSURES(places_.size() <= size);
}

void Hottest::ended(const InstallStats& stats) {
  if (!stats.is_among_hottest) return;
  const std::lock_guard lock{mutex_};
  std::erase_if(places_, [&](const Place& place) { return place.stats.get() == &stats; });
  least_ = 0;
}

std::vector<Hottest::Place>::iterator Hottest::least() {
  return std::min_element(places_.begin(), places_.end(), [](const Place& a, const Place& b) {
    return requests_of(*a.stats) < requests_of(*b.stats);
  });
}

std::vector<HotInstall> Hottest::list() const {
  std::vector<HotInstall> hottest;
  {
    const std::lock_guard lock{mutex_};
    for (const auto& [install_id, stats] : places_) {
      hottest.push_back({install_id, stats->handled.load(std::memory_order_relaxed)});
    }
  }
  std::sort(hottest.begin(), hottest.end(), [](const HotInstall& a, const HotInstall& b) {
    return a.messages_handled > b.messages_handled;
  });
  return hottest;
}

}  // namespace credits::actors
