// One load from its begin to its end: sends it, counts what was answered, and compares.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/creditsload/driver.hpp"
#include "tools/creditsload/expected.hpp"
#include "tools/creditsload/results.hpp"

namespace credits::creditsload {

// What the comparison at the end has found.
struct Verdict {
  std::size_t installs = 0;
  std::size_t doubtful_installs = 0;   // with requests that may have been done or not
  std::size_t differing_installs = 0;  // the first of which are in `faults`
  std::vector<std::string> faults{};
};

struct Outcome {
  Results results;
  std::optional<Verdict> verdict{};  // none: nothing was compared
};

// Throws creditsctl::Failure if the server cannot be used.
Outcome run_load(const Settings& settings);

}  // namespace credits::creditsload
