// The faults on which the tests of other layers rely.
#include "tests/memory_store.hpp"

#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "tests/ledger_fixtures.hpp"

namespace credits::persistence {
namespace {

using namespace credits::tests;

TEST_CASE("an append that fails on command stores nothing, and the next one works") {
  MemoryStore store;
  auto row = ledger::blank_row("a", november);
  const auto creation = create(row);
  store.fail_appends(1);
  CHECK_THROWS_AS(append(store, std::vector{creation}), StoreError);
  CHECK(store.installs() == 0);
  CHECK(append(store, std::vector{creation}).front() == Outcome::stored);
}

TEST_CASE("an append of unknown outcome has stored its mutations") {
  MemoryStore store;
  auto row = ledger::blank_row("a", november);
  store.fail_append_after_storing();
  CHECK_THROWS_AS(append(store, std::vector{create(row)}), StoreError);
  CHECK(store.load(std::vector<std::string>{"a"}).front().row == row);
}

TEST_CASE("a load that fails on command throws, and the next one works") {
  MemoryStore store;
  store.fail_loads(1);
  CHECK_THROWS_AS(store.load(std::vector<std::string>{"a"}), StoreError);
  CHECK_FALSE(store.load(std::vector<std::string>{"a"}).front().row);
}

}  // namespace
}  // namespace credits::persistence
