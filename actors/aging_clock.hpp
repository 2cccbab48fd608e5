// The time by which keys, ended reservations and entries age. The wall clock may jump ahead by a
// day for a minute, or be a day behind when a key is used. Neither may make that key look older
// than it is, or a retry would debit twice.
//
// Therefore this time advances at the rate of steady time, with the wall clock's smallest offset
// from it over at least the last 24 h, which is as long as keys are remembered. If the wall clock
// moves ahead for good, this time catches up within 48 h.
#pragma once

#include <atomic>
#include <chrono>
#include <mutex>

#include "actors/figures/recent.hpp"
#include "actors/ledger/time.hpp"

namespace credits::actors {

// Any thread.
class AgingClock {
 public:
  // Records that the wall clock read `wall` at `steady`. Must be called for each time at which an
  // entry is made.
  void saw(ledger::Time wall, SteadyTime steady);

  // The time by which to measure age at `steady`, when the wall clock reads `wall`.
  ledger::Time time(ledger::Time wall, SteadyTime steady);

 private:
  using Offset = std::chrono::milliseconds;  // of the wall clock from the steady one

  std::mutex mutex_;
  std::atomic<Offset> least_{Offset::max()};     // of this period; lowered with mutex_ held
  Offset least_of_last_period_ = Offset::max();  // guarded by mutex_
  SteadyTime period_began_{};                    // guarded by mutex_
};

}  // namespace credits::actors
