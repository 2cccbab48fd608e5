// Runs one load: sends it, counts the answers, and compares them with the server's state.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/creditsload/driver.hpp"
#include "tools/creditsload/expected.hpp"
#include "tools/creditsload/results.hpp"

namespace credits::creditsload {

// The result of the comparison at the end.
struct Verdict {
  std::size_t installs = 0;
  std::size_t doubtful_installs = 0;   // with requests whose outcome is unknown
  std::size_t differing_installs = 0;  // `faults` describes the first of them
  std::vector<std::string> faults{};
};

struct Outcome {
  Results results;
  std::optional<Verdict> verdict{};  // nullopt: no comparison
};

// Throws creditsctl::Failure if the server cannot be used.
Outcome run_load(const Settings& settings);

}  // namespace credits::creditsload
