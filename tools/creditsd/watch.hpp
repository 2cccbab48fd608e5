// Logs events that are too frequent for a line each, as at most one line a second per kind: shed
// load, connections ended for lack of memory, slow requests, conflicts with another writer, and
// clients that speak another protocol.
#pragma once

#include <chrono>
#include <cstdint>

#include "actors/figures/figures.hpp"
#include "http/api/figures.hpp"

namespace credits::creditsd {

class Watch {
 public:
  Watch(actors::Figures& figures, http::HttpFigures& http_figures)
      : figures_{figures}, http_figures_{http_figures} {}

  // Call at least once a second.
  void look_if_due();
  // Call at the end: logs the events since the last line.
  void look();

 private:
  actors::Figures& figures_;
  http::HttpFigures& http_figures_;
  std::uint64_t shed_ = 0;           // already logged
  std::uint64_t out_of_memory_ = 0;  // already logged
  std::uint64_t conflicts_ = 0;      // already logged
  std::chrono::steady_clock::time_point looked_at_{};
};

}  // namespace credits::creditsd
