// Figures of the last minute, so that current trouble does not hide behind a good week.
//
// Time is divided into turns of ten seconds, each with a slot that is cleared when its turn comes
// round again. There is no lock, so a value recorded at the very start of a turn may be lost.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "actors/base/histogram.hpp"

namespace credits::actors {

using base::Counts;
using base::Histogram;

using SteadyTime = std::chrono::steady_clock::time_point;

template <class Slot>
class Recent {
 public:
  // The slot for the present.
  Slot& at(SteadyTime now) {
    const std::int64_t number = number_of(now);
    Turn& turn = turn_of(number);
    std::int64_t had = turn.number.load(std::memory_order_relaxed);
    if (had != number && turn.number.compare_exchange_strong(had, number)) turn.slot.clear();
    return turn.slot;
  }

  // Visits the slots of the 50 to 60 seconds before `now`.
  template <class Visit>
  void visit(SteadyTime now, Visit visit) const {
    const std::int64_t last = number_of(now);
    for (const Turn& turn : turns_) {
      const std::int64_t number = turn.number.load(std::memory_order_relaxed);
      if (number > last - turns_in_a_minute && number <= last) visit(turn.slot);
    }
  }

 private:
  struct Turn {
    std::atomic<std::int64_t> number{none};
    Slot slot{};
  };

  static constexpr std::chrono::seconds turn_length{10};
  static constexpr std::int64_t turns_in_a_minute = 6;
  static constexpr std::int64_t none = -turns_in_a_minute;

  static std::int64_t number_of(SteadyTime now) { return now.time_since_epoch() / turn_length; }
  Turn& turn_of(std::int64_t number) {
    return turns_[static_cast<std::size_t>(number) % turns_.size()];
  }

  std::array<Turn, turns_in_a_minute + 2> turns_{};
};

class Maximum {
 public:
  void raise(std::uint64_t value) {
    std::uint64_t had = value_.load(std::memory_order_relaxed);
    while (had < value && !value_.compare_exchange_weak(had, value)) {
    }
  }
  void clear() { value_.store(0, std::memory_order_relaxed); }
  std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

// A histogram since the start, and of the last minute.
class Measured {
 public:
  void record(std::uint64_t value, SteadyTime now) {
    ever_.record(value);
    recent_.at(now).record(value);
  }

  Counts ever() const {
    Counts counts;
    ever_.add_to(counts);
    return counts;
  }

  Counts recent(SteadyTime now) const {
    Counts counts;
    recent_.visit(now, [&counts](const Histogram& histogram) { histogram.add_to(counts); });
    return counts;
  }

 private:
  Histogram ever_;
  Recent<Histogram> recent_;
};

inline std::uint64_t microseconds_between(SteadyTime from, SteadyTime to) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(to - from).count());
}

}  // namespace credits::actors
