// Lines on their way to whoever reads them, as those of the log. A reader may stand still, as a
// terminal does after Ctrl-S, and must not hold up the program: a thread of its own writes the
// lines, and the oldest are dropped where more wait than are kept, as is what cannot be written.
#pragma once

#include <spdlog/common.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

namespace credits::creditsd {

struct Line {
  spdlog::log_clock::time_point at;
  std::optional<spdlog::level::level_enum> level;  // none: the text is all that is written
  std::string text;
};

// Lives as long as the process, as its thread may never come back from a write. Any thread.
class LineQueue {
 public:
  // `dropped`: how many lines were dropped that would have come before this one. Returns whether it
  // was written.
  using Write = std::function<bool(const Line& line, std::uint64_t dropped)>;

  LineQueue(std::size_t lines_max, Write write);
  LineQueue(const LineQueue&) = delete;
  LineQueue& operator=(const LineQueue&) = delete;

  // Never waits for the reader.
  void add(Line line);

  // Waits for all lines to be written, for so long at most; whether they are.
  bool flush(std::chrono::milliseconds wait_max);

  std::uint64_t dropped() const;  // since the program was started

 private:
  ~LineQueue() = default;
  void write_lines();

  const std::size_t lines_max_;
  const Write write_;
  mutable std::mutex mutex_;  // guards all below
  std::condition_variable has_lines_;
  std::condition_variable is_idle_;
  std::deque<Line> lines_;
  bool is_writing_ = false;
  std::uint64_t dropped_ = 0;
  std::uint64_t dropped_told_ = 0;
};

}  // namespace credits::creditsd
