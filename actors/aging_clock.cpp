#include "actors/aging_clock.hpp"

#include <algorithm>

#include "actors/base/assert.hpp"
#include "actors/ledger/entry.hpp"

namespace credits::actors {

namespace {

std::chrono::milliseconds since_start_of(SteadyTime steady) {
  return std::chrono::floor<std::chrono::milliseconds>(steady.time_since_epoch());
}

}  // namespace

void AgingClock::saw(ledger::Time wall, SteadyTime steady) {
  const Offset offset = wall.time_since_epoch() - since_start_of(steady);
  if (offset >= least_.load(std::memory_order_relaxed)) return;
  const std::lock_guard lock{mutex_};
  if (least_.load() == Offset::max()) period_began_ = steady;
  least_ = std::min(least_.load(), offset);
}

ledger::Time AgingClock::time(ledger::Time wall, SteadyTime steady) {
  saw(wall, steady);
  const std::lock_guard lock{mutex_};
  if (steady - period_began_ > ledger::replay_keys_remembered_for) {
    least_of_last_period_ = least_;
    least_ = wall.time_since_epoch() - since_start_of(steady);
    period_began_ = steady;
  }
  const ledger::Time time{std::min(least_.load(), least_of_last_period_) + since_start_of(steady)};
  CREDITS_ENSURES(time <= wall);
  return time;
}

}  // namespace credits::actors
