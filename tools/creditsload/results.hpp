// The results of a load: figures for each kind of request, and over time.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "actors/base/histogram.hpp"
#include "tools/creditsload/settings.hpp"

namespace credits::creditsload {

using Clock = std::chrono::steady_clock;

struct Latencies {
  base::Counts counts{};
  std::uint64_t max_us = 0;

  void add(std::uint64_t took_us);
  void add(const Latencies& others);
  // At most 6 % too high, and never above the maximum.
  std::uint64_t quantile_us(double share) const;
};

struct Slice {
  std::uint64_t operations = 0;  // each operation of a batch counts
  std::uint64_t errors = 0;
  Latencies latencies{};
};

class Results {
 public:
  // Counts the requests that were due in the `seconds` from `begin`.
  Results(Clock::time_point begin, double seconds);

  // A code is empty for success; a batch has a code for each of its operations.
  void add(Kind kind, Clock::time_point intended, Clock::time_point answered,
           const std::vector<std::string>& codes);

  const Slice& of(Kind kind) const { return by_kind_[static_cast<std::size_t>(kind)]; }
  Slice total() const;
  const std::vector<Slice>& slices() const { return slices_; }
  double slice_seconds() const { return slice_seconds_; }
  double seconds() const { return seconds_; }
  const std::map<std::string, std::uint64_t>& errors() const { return errors_; }

 private:
  const Clock::time_point begin_;
  const double seconds_;
  const double slice_seconds_;
  std::array<Slice, kinds> by_kind_{};
  std::vector<Slice> slices_;  // by time of answer
  std::map<std::string, std::uint64_t> errors_;
};

}  // namespace credits::creditsload
