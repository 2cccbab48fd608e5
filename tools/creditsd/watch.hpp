// Tells the log, a line a second at most for each, of what happens too often for a line each: shed
// load, connections that there was no memory for, slow requests, conflicts with another writer, and
// clients that speak another protocol.
#pragma once

#include <chrono>
#include <cstdint>

#include "actors/figures/figures.hpp"
#include "http/figures.hpp"

namespace credits::creditsd {

class Watch {
 public:
  Watch(actors::Figures& figures, http::HttpFigures& http_figures)
      : figures_{figures}, http_figures_{http_figures} {}

  // To be called once a second, or more often.
  void look_if_due();
  // To be called at the end: tells what has come since.
  void look();

 private:
  actors::Figures& figures_;
  http::HttpFigures& http_figures_;
  std::uint64_t shed_ = 0;           // that have been told of
  std::uint64_t out_of_memory_ = 0;  // that have been told of
  std::uint64_t conflicts_ = 0;      // that have been told of
  std::chrono::steady_clock::time_point looked_at_{};
};

}  // namespace credits::creditsd
