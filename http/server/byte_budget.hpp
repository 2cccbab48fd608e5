// Limits the memory that all connections use together.
#pragma once

#include <atomic>
#include <cstddef>

namespace credits::http {

// Thread-safe. Must outlive its shares.
class ByteBudget {
 public:
  explicit ByteBudget(std::size_t bytes_max) : bytes_max_{bytes_max} {}

 private:
  friend class ByteShare;

  const std::size_t bytes_max_;
  std::atomic<std::size_t> bytes_{0};
};

// The part of a budget that one connection uses. One thread at a time.
class ByteShare {
 public:
  explicit ByteShare(ByteBudget& budget) : budget_{budget} {}
  ~ByteShare() { set(0); }
  ByteShare(const ByteShare&) = delete;
  ByteShare& operator=(const ByteShare&) = delete;

  // Replaces the size of the share. False if the share grows and the budget is exceeded; the share
  // has the new size all the same.
  bool set(std::size_t bytes) {
    if (bytes == bytes_) return true;
    const bool is_more = bytes > bytes_;
    const std::size_t change = bytes - bytes_;  // wraps around if the share shrinks
    bytes_ = bytes;
    return (budget_.bytes_ += change) <= budget_.bytes_max_ || !is_more;
  }

 private:
  ByteBudget& budget_;
  std::size_t bytes_ = 0;
};

}  // namespace credits::http
