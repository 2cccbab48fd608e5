// The time by which keys, ended reservations and entries grow old. The wall clock may be set on by
// a day for a minute, or be a day behind when a key is used; neither may make that key older than
// it is, or a retry would debit twice.
//
// So this time goes on as fast as steady time does. It follows the wall clock wherever that has
// been least far on in the last 24 h at least, which is as long as keys are remembered; what the
// wall clock gains otherwise it gains within 48 h.
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
  // Notes that it was `wall` at `steady`. To be told of each time at which an entry is made.
  void saw(ledger::Time wall, SteadyTime steady);

  // The time by which something is old at `steady`, when it is `wall`.
  ledger::Time time(ledger::Time wall, SteadyTime steady);

 private:
  using Offset = std::chrono::milliseconds;  // of the wall clock from the steady one

  std::mutex mutex_;
  std::atomic<Offset> least_{Offset::max()};     // of this period; lowered with mutex_ held
  Offset least_of_last_period_ = Offset::max();  // guarded by mutex_
  SteadyTime period_began_{};                    // guarded by mutex_
};

}  // namespace credits::actors
