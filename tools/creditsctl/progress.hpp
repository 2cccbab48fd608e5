// How far a long command has come, on standard error: a bar where that is a terminal.
#pragma once

#include <cstdint>
#include <string>

namespace credits::creditsctl {

class Progress {
 public:
  // `forced`: a line for every tenth, if standard error is no terminal.
  Progress(std::string what, bool forced);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void show(std::uint64_t done, std::uint64_t total);

 private:
  void draw(std::uint64_t steps) const;

  const std::string what_;
  const bool is_terminal_;
  const std::uint64_t steps_;  // from nothing to all; 0: nothing is shown
  std::uint64_t steps_shown_ = 0;
  bool has_shown_ = false;
};

}  // namespace credits::creditsctl
