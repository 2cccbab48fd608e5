// A histogram that any number of threads record into and read at the same time, without a lock.
// Each bucket is a sixteenth of its values wide, so a quantile is at most 6 % too high; values
// below 32 are exact. (prometheus-cpp's Summary takes a lock for each value, and its Histogram has
// no quantiles.)
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace credits::base {

namespace buckets {

inline constexpr unsigned detail_bits = 4;
inline constexpr std::uint64_t detail = 1U << detail_bits;
inline constexpr unsigned value_bits = 36;  // in microseconds: 19 hours
inline constexpr std::size_t count = (value_bits - detail_bits + 1) * detail;

constexpr std::size_t index_of(std::uint64_t value) {
  value = std::min(value, (std::uint64_t{1} << value_bits) - 1);
  if (value < detail) return value;
  const auto shift = static_cast<unsigned>(std::bit_width(value)) - 1 - detail_bits;
  return (shift << detail_bits) + (value >> shift);
}

// The greatest value in the bucket.
constexpr std::uint64_t greatest_in(std::size_t index) {
  if (index < detail) return index;
  const auto shift = static_cast<unsigned>((index >> detail_bits) - 1);
  return ((detail + index % detail + 1) << shift) - 1;
}

static_assert(index_of(std::numeric_limits<std::uint64_t>::max()) == count - 1);
static_assert(greatest_in(index_of(2 * detail - 1)) == 2 * detail - 1);  // exact
static_assert(index_of(greatest_in(count - 1)) == count - 1);

}  // namespace buckets

// A copy of a histogram's counts.
struct Counts {
  std::array<std::uint64_t, buckets::count> of{};
  std::uint64_t sum = 0;

  std::uint64_t total() const {
    std::uint64_t total = 0;
    for (const std::uint64_t count : of) total += count;
    return total;
  }

  // The smallest bucket bound that at least `share` of the values do not exceed; 0 without values.
  std::uint64_t quantile(double share) const {
    const auto wanted = static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(total())));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < of.size(); ++i) {
      seen += of[i];
      if (seen >= wanted && seen > 0) return buckets::greatest_in(i);
    }
    return 0;
  }

  // The number of values below `bound`; exact if `bound` is a power of two.
  std::uint64_t below(std::uint64_t bound) const {
    std::uint64_t count = 0;
    for (std::size_t i = 0; i < buckets::index_of(bound); ++i) count += of[i];
    return count;
  }
};

class Histogram {
 public:
  void record(std::uint64_t value) {
    counts_[buckets::index_of(value)].fetch_add(1, std::memory_order_relaxed);
    sum_.fetch_add(value, std::memory_order_relaxed);
  }

  void clear() {
    for (auto& count : counts_) count.store(0, std::memory_order_relaxed);
    sum_.store(0, std::memory_order_relaxed);
  }

  void add_to(Counts& counts) const {
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      counts.of[i] += counts_[i].load(std::memory_order_relaxed);
    }
    counts.sum += sum_.load(std::memory_order_relaxed);
  }

 private:
  std::array<std::atomic<std::uint64_t>, buckets::count> counts_{};
  std::atomic<std::uint64_t> sum_{0};
};

}  // namespace credits::base
