#include "tools/creditsload/results.hpp"

#include <algorithm>
#include <cmath>

namespace credits::creditsload {

namespace {

constexpr double slices_max = 300;

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>{to - from}.count();
}

}  // namespace

void Latencies::add(std::uint64_t took_us) {
  ++counts.of[base::buckets::index_of(took_us)];
  max_us = std::max(max_us, took_us);
}

void Latencies::add(const Latencies& others) {
  for (std::size_t i = 0; i < counts.of.size(); ++i) counts.of[i] += others.counts.of[i];
  max_us = std::max(max_us, others.max_us);
}

std::uint64_t Latencies::quantile_us(double share) const {
  return std::min(counts.quantile(share), max_us);
}

Results::Results(Clock::time_point begin, double seconds)
    : begin_{begin},
      seconds_{seconds},
      slice_seconds_{std::max(std::min(1.0, seconds / 10), seconds / slices_max)},
      slices_(static_cast<std::size_t>(std::ceil(seconds / slice_seconds_ - 1e-9))) {}

void Results::add(Kind kind, Clock::time_point intended, Clock::time_point answered,
                  const std::vector<std::string>& codes) {
  if (intended < begin_) return;
  const double at = seconds_between(begin_, answered);
  const auto took_us = static_cast<std::uint64_t>(seconds_between(intended, answered) * 1e6);
  // The last slice also counts answers after the end.
  const auto slice = std::min(slices_.size() - 1, static_cast<std::size_t>(at / slice_seconds_));
  std::uint64_t failed = 0;
  for (const std::string& code : codes) {
    if (code.empty()) continue;
    ++failed;
    ++errors_[code];
  }
  for (Slice* const sum : {&by_kind_[static_cast<std::size_t>(kind)], &slices_[slice]}) {
    sum->operations += codes.size() - failed;
    sum->errors += failed;
    sum->latencies.add(took_us);
  }
}

Slice Results::total() const {
  Slice total;
  for (const Slice& slice : by_kind_) {
    total.operations += slice.operations;
    total.errors += slice.errors;
    total.latencies.add(slice.latencies);
  }
  return total;
}

}  // namespace credits::creditsload
