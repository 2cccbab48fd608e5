// A thousand random lives of a whole ledger, see simulation.hpp. CREDITS_SEED=17 runs one of them;
// simulate runs them for as long as one likes.
#include "tests/actors/simulation.hpp"

#include <cstdlib>
#include <iostream>
#include <numeric>

#include "tests/catch.hpp"

namespace credits::tests {
namespace {

std::vector<std::uint32_t> seeds() {
  if (const char* seed = std::getenv("CREDITS_SEED")) {
    return {static_cast<std::uint32_t>(std::strtoul(seed, nullptr, 10))};
  }
  std::vector<std::uint32_t> all(1'000);
  std::iota(all.begin(), all.end(), 1U);
  return all;
}

TEST_CASE("a ledger that lives through faults and crashes answers nothing that is not so") {
  for (const std::uint32_t seed : seeds()) {
    if (!live(life_of(seed)).fault) continue;
    std::cerr << report(seed);  // Catch would break the lines
    FAIL("run it again: CREDITS_SEED=" << seed << " actors_test \"a ledger that*\"");
  }
}

TEST_CASE("a seed makes the same life each time") {
  CHECK(live(life_of(7)).told == live(life_of(7)).told);
  CHECK(live(life_of(7)).told != live(life_of(8)).told);
}

TEST_CASE("a life goes on where moves are left out") {
  Life life = life_of(9);
  life.moves.erase(life.moves.begin() + 10, life.moves.begin() + 200);
  CHECK(live(life).fault == std::nullopt);
  CHECK(live(Life{}).told == std::vector<std::string>{"the end"});
}

}  // namespace
}  // namespace credits::tests
