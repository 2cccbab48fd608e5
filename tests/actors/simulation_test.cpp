// A thousand random lives of a whole ledger, see simulation.hpp. CREDITS_SEED=17 runs one of them;
// the program simulate runs more.
#include "tests/actors/simulation.hpp"

#include <cstdlib>
#include <iostream>
#include <numeric>

#include "actors/ledger/rules.hpp"
#include "persistence/sqlite/audit.hpp"
#include "persistence/sqlite/store.hpp"
#include "tests/catch.hpp"
#include "tests/ledger_fixtures.hpp"
#include "tests/temporary_directory.hpp"

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

std::vector<persistence::Mutation> mutations_of(const std::string& install_id,
                                                const std::vector<ledger::Entry>& entries) {
  std::vector<persistence::Mutation> mutations;
  ledger::Row row = ledger::blank_row(install_id, entries.empty() ? ledger::Time{} : entries[0].at);
  for (const ledger::Entry& entry : entries) {
    ledger::apply(row, entry);
    mutations.push_back({row, {entry}});
  }
  return mutations;
}

TEST_CASE("a ledger that lives through faults and crashes answers nothing that is not so",
          "[seeds]") {
  for (const std::uint32_t seed : seeds()) {
    if (!live(life_of(seed)).fault) continue;
    std::cerr << report(seed);  // Catch would break the lines
    FAIL("run it again: CREDITS_SEED=" << seed << " actors_test \"a ledger that*\"");
  }
}

TEST_CASE("a life writes a ledger with an unbroken chain", "[seeds]") {
  for (std::uint32_t seed = 1; seed <= 20; ++seed) {
    const TemporaryDirectory directory;
    std::size_t entries_written = 0;
    {
      const auto store = persistence::open_sqlite_store(directory.path());
      for (const auto& [id, entries] : live(life_of(seed)).histories) {
        entries_written += entries.size();
        append(*store, mutations_of(id, entries));
      }
      store->checkpoint();
    }
    const auto report = persistence::audit(directory.path());
    INFO("seed " << seed << ": " << (report.fault ? report.fault->what : ""));
    CHECK_FALSE(report.fault);
    CHECK(report.entries == entries_written);
    CHECK(report.entries_unhashed == 0);
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
