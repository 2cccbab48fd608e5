// A queue of lines for an external reader, like those of the log. A reader that stalls, as a
// terminal does after Ctrl-S, must not block the program: the queue's own thread writes the lines.
// Drops the oldest lines of a full queue, and lines that cannot be written.
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
  std::optional<spdlog::level::level_enum> level;  // nullopt: writes only the text
  std::string text;
};

// Lives as long as the process, because its thread may never return from a write. Thread-safe.
class LineQueue {
 public:
  // `dropped`: number of lines dropped just before this one. Returns whether the line was written.
  using Write = std::function<bool(const Line& line, std::uint64_t dropped)>;

  LineQueue(std::size_t lines_max, Write write);
  LineQueue(const LineQueue&) = delete;
  LineQueue& operator=(const LineQueue&) = delete;

  // Never waits for the reader.
  void add(Line line);

  // Waits until all lines are written, for at most `wait_max`. Returns whether they are.
  bool flush(std::chrono::milliseconds wait_max);

  std::uint64_t dropped() const;  // since the program started

 private:
  ~LineQueue() = default;
  void write_lines();

  const std::size_t lines_max_;
  const Write write_;
  mutable std::mutex mutex_;  // guards everything below
  std::condition_variable has_lines_;
  std::condition_variable is_idle_;
  std::deque<Line> lines_;
  bool is_writing_ = false;
  std::uint64_t dropped_ = 0;
  std::uint64_t dropped_reported_ = 0;
};

}  // namespace credits::creditsd
