// The live figures of the API, updated as requests are answered, and those of its server.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "actors/base/text.hpp"
#include "actors/figures/recent.hpp"
#include "http/api/in_flight.hpp"
#include "http/api/routes.hpp"
#include "http/codec/problem.hpp"
#include "http/server/figures.hpp"

namespace credits::http {

// Requests to one call.
struct CallFigures {
  actors::Measured latency_us{};  // from the complete request to the ready answer
  std::array<std::atomic<std::uint64_t>, 6> by_status_class{};  // [2]: answered with 2xx

  std::uint64_t count() const {
    std::uint64_t count = 0;
    for (const auto& answers : by_status_class) count += answers;
    return count;
  }

  std::uint64_t errors() const { return by_status_class[4] + by_status_class[5]; }
};

// Counts problems, in answers to requests and to operations of batches.
class ProblemFigures {
 public:
  void count(ProblemKind kind) {
    by_kind_[static_cast<std::size_t>(kind)].fetch_add(1, std::memory_order_relaxed);
  }

  // Leaves out codes that have not occurred.
  std::map<std::string_view, std::uint64_t> by_code() const {
    std::map<std::string_view, std::uint64_t> counts;
    for (std::size_t i = 0; i < by_kind_.size(); ++i) {
      const std::uint64_t count = by_kind_[i].load(std::memory_order_relaxed);
      if (count > 0) counts[type_of(static_cast<ProblemKind>(i)).code] += count;
    }
    return counts;
  }

 private:
  std::array<std::atomic<std::uint64_t>, problem_kinds> by_kind_{};
};

// Slow requests: their number and the slowest one, since the last take().
class SlowRequests {
 public:
  struct Seen {
    std::uint64_t count = 0;
    std::chrono::milliseconds longest{0};
    std::string request;  // the slowest one: `POST /v1/…`
  };

  // `request` is its method and target.
  void add(std::string_view request, std::chrono::steady_clock::duration took) {
    const auto took_ms = std::chrono::duration_cast<std::chrono::milliseconds>(took);
    const std::lock_guard lock{mutex_};
    ++seen_.count;
    if (took_ms < seen_.longest) return;
    seen_.longest = took_ms;
    seen_.request = base::printable(std::string{request.substr(0, request.find('?'))});
  }

  Seen take() {
    const std::lock_guard lock{mutex_};
    return std::exchange(seen_, {});
  }

 private:
  std::mutex mutex_;
  Seen seen_;  // guarded by mutex_
};

struct HttpFigures {
  std::array<CallFigures, calls> by_call{};
  ProblemFigures problems{};
  SlowRequests slow_requests{};
  InFlightCount in_flight{};
  ServerFigures server{};
};

}  // namespace credits::http
