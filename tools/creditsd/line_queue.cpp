#include "tools/creditsd/line_queue.hpp"

#include <thread>
#include <utility>

namespace credits::creditsd {

LineQueue::LineQueue(std::size_t lines_max, Write write)
    : lines_max_{lines_max}, write_{std::move(write)} {
  std::thread{[this] { write_lines(); }}.detach();
}

void LineQueue::add(Line line) {
  const std::lock_guard lock{mutex_};
  if (lines_.size() == lines_max_) {
    lines_.pop_front();
    ++dropped_;
  }
  lines_.push_back(std::move(line));
  has_lines_.notify_one();
}

bool LineQueue::flush(std::chrono::milliseconds wait_max) {
  std::unique_lock lock{mutex_};
  return is_idle_.wait_for(lock, wait_max, [this] { return lines_.empty() && !is_writing_; });
}

std::uint64_t LineQueue::dropped() const {
  const std::lock_guard lock{mutex_};
  return dropped_;
}

void LineQueue::write_lines() {
  std::unique_lock lock{mutex_};
  while (true) {
    has_lines_.wait(lock, [this] { return !lines_.empty(); });
    const Line line = std::move(lines_.front());
    lines_.pop_front();
    const std::uint64_t dropped = dropped_ - std::exchange(dropped_reported_, dropped_);
    is_writing_ = true;
    lock.unlock();
    const bool is_written = write_(line, dropped);
    lock.lock();
    if (!is_written) {
      dropped_reported_ -= dropped;
      ++dropped_;
    }
    is_writing_ = false;
    if (lines_.empty()) is_idle_.notify_all();
  }
}

}  // namespace credits::creditsd
