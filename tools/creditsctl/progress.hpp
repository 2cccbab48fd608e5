// Shows the progress of a long command on standard error: a bar if that is a terminal.
#pragma once

#include <cstdint>
#include <string>

namespace credits::creditsctl {

class Progress {
 public:
  // `forced`: print a line for each tenth if standard error is not a terminal.
  Progress(std::string what, bool forced);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void show(std::uint64_t done, std::uint64_t total);

 private:
  void draw(std::uint64_t steps) const;

  const std::string what_;
  const bool is_terminal_;
  const std::uint64_t steps_;  // 0: shows nothing
  std::uint64_t steps_shown_ = 0;
  bool has_shown_ = false;
};

}  // namespace credits::creditsctl
