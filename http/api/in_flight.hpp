// Counts what is in flight, so that it can be bounded.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

namespace credits::http {

// How much is in flight. The InFlight objects that it counts may outlive it.
class InFlightCount {
 public:
  std::size_t get() const { return *count_; }

 private:
  friend class InFlight;
  const std::shared_ptr<std::atomic<std::size_t>> count_ =
      std::make_shared<std::atomic<std::size_t>>(0);
};

// Counts while it exists.
class InFlight {
 public:
  explicit InFlight(const InFlightCount& of, std::size_t weight = 1)
      : counter_{of.count_}, weight_{weight}, count_{* counter_ += weight} {}
  InFlight(InFlight&& other) noexcept = default;
  ~InFlight() {
    if (counter_) *counter_ -= weight_;
  }
  InFlight(const InFlight&) = delete;
  InFlight& operator=(const InFlight&) = delete;
  InFlight& operator=(InFlight&&) = delete;
  std::size_t count() const { return count_; }

 private:
  std::shared_ptr<std::atomic<std::size_t>> counter_;  // null: moved from
  std::size_t weight_;
  std::size_t count_;  // including this one
};

}  // namespace credits::http
