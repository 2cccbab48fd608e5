// What is under way, counted so that it can be bounded.
#pragma once

#include <atomic>
#include <cstddef>
#include <utility>

namespace credits::http {

// Counts as long as it lives.
class InFlight {
 public:
  explicit InFlight(std::atomic<std::size_t>& counter, std::size_t weight = 1)
      : counter_{&counter}, weight_{weight}, count_{counter += weight} {}
  InFlight(InFlight&& other) noexcept
      : counter_{std::exchange(other.counter_, nullptr)},
        weight_{other.weight_},
        count_{other.count_} {}
  ~InFlight() {
    if (counter_) *counter_ -= weight_;
  }
  InFlight(const InFlight&) = delete;
  InFlight& operator=(const InFlight&) = delete;
  InFlight& operator=(InFlight&&) = delete;
  std::size_t count() const { return count_; }

 private:
  std::atomic<std::size_t>* counter_;
  std::size_t weight_;
  std::size_t count_;  // with this one
};

}  // namespace credits::http
