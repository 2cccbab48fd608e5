#include "tools/creditsctl/progress.hpp"

#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <utility>

namespace credits::creditsctl {

namespace {

constexpr std::uint64_t bar_steps = 200;
constexpr std::uint64_t line_steps = 10;
constexpr std::uint64_t bar_width = 40;

bool is_terminal() { return ::isatty(STDERR_FILENO) == 1; }

}  // namespace

Progress::Progress(std::string what, bool forced)
    : what_{std::move(what)},
      is_terminal_{is_terminal()},
      steps_{is_terminal_ ? bar_steps : (forced ? line_steps : 0)} {}

Progress::~Progress() {
  if (is_terminal_ && has_shown_) std::cerr << "\r\x1b[K" << std::flush;
}

void Progress::show(std::uint64_t done, std::uint64_t total) {
  if (steps_ == 0) return;
  const std::uint64_t steps = total == 0 ? steps_ : steps_ * std::min(done, total) / total;
  if (has_shown_ && steps == steps_shown_) return;
  has_shown_ = true;
  steps_shown_ = steps;
  draw(steps);
}

void Progress::draw(std::uint64_t steps) const {
  const std::string percent = std::to_string(100 * steps / steps_) + " %";
  if (!is_terminal_) {
    std::cerr << what_ << ": " << percent << '\n';
    return;
  }
  const std::string bar(bar_width * steps / steps_, '#');
  std::cerr << '\r' << what_ << " [" << bar << std::string(bar_width - bar.size(), ' ') << "] "
            << percent << "\x1b[K" << std::flush;
}

}  // namespace credits::creditsctl
