// The time by which keys age, whatever the wall clock does.
#include "actors/aging_clock.hpp"

#include <chrono>
#include <random>
#include <vector>

#include "actors/ledger/entry.hpp"
#include "tests/catch.hpp"
#include "tests/ledger_fixtures.hpp"

namespace credits::actors {
namespace {

using namespace std::chrono_literals;
using tests::november;

constexpr SteadyTime start{100h};

TEST_CASE("while the wall clock is right, it is the aging clock") {
  AgingClock clock;
  CHECK(clock.time(november, start) == november);
  CHECK(clock.time(november + 100h, start + 100h) == november + 100h);
}

TEST_CASE("a wall clock that steps on makes nothing older") {
  AgingClock clock;
  clock.saw(november, start);
  CHECK(clock.time(november + 24h, start + 1min) == november + 1min);
  CHECK(clock.time(november + 2min, start + 2min) == november + 2min);
}

TEST_CASE(
    "a time seen while the wall clock is behind is no older when the clock steps forward again") {
  AgingClock clock;
  clock.saw(november, start);
  clock.saw(november - 24h, start + 1min);
  CHECK(clock.time(november + 2min, start + 2min) == november - 24h + 1min);
}

TEST_CASE("the aging clock catches up with the wall clock within two days") {
  AgingClock clock;
  clock.saw(november - 1000h, start);
  CHECK(clock.time(november + 23h, start + 23h) == november - 977h);
  clock.time(november + 25h, start + 25h);
  CHECK(clock.time(november + 50h, start + 50h) == november + 50h);
}

TEST_CASE("nothing is a day old before a day of steady time has passed") {
  std::mt19937 random{17};
  const auto pick = [&random](int from, int to) {
    return std::uniform_int_distribution{from, to}(random);
  };
  struct Made {
    ledger::Time wall;
    SteadyTime steady;
  };
  AgingClock clock;
  std::vector<Made> made;
  ledger::Time wall = november;
  SteadyTime steady = start;
  for (int i = 0; i < 2'000; ++i) {
    const std::chrono::minutes passed{pick(0, 120)};
    steady += passed;
    wall += passed;
    if (pick(0, 9) == 0) wall += std::chrono::hours{pick(-50, 50)};
    if (pick(0, 99) == 0) wall += std::chrono::hours{24 * 365 * pick(-2, 2)};
    clock.saw(wall, steady);
    made.push_back({wall, steady});
    const ledger::Time old = clock.time(wall, steady) - ledger::replay_keys_remembered_for;
    for (const Made& one : made) {
      if (one.wall < old) REQUIRE(steady - one.steady >= ledger::replay_keys_remembered_for);
    }
  }
}

}  // namespace
}  // namespace credits::actors
