// simulate: runs random lives of a whole ledger, one seed after the other, until one has a fault or
// the time is up. For a fault it prints the seed and the shortest faulty history, and exits with 1.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdint>
#include <iostream>

#include "tests/actors/simulation.hpp"

int main(int argc, char** argv) {
  using namespace credits::tests;
  using Clock = std::chrono::steady_clock;
  CLI::App app{"Runs random lives of a ledger until one has a fault or the time is over."};
  std::uint32_t seed = 1;
  double seconds = 60;
  app.option_defaults()->always_capture_default();
  app.add_option("--first-seed", seed, "Of the first life; the next has one more");
  app.add_option("--seconds", seconds, "How long")->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);

  const auto end = Clock::now() + std::chrono::duration<double>{seconds};
  std::uint32_t lives = 0;
  for (; Clock::now() < end; ++seed, ++lives) {
    if (!live(life_of(seed)).fault) continue;
    std::cout << report(seed);
    return 1;
  }
  std::cout << lives << " lives, no fault; the next seed is " << seed << "\n";
}
