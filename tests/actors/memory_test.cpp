// An install's knowledge of its replay keys: it needs no store for a new one, and never takes a
// stored one for new.
#include "actors/memory.hpp"

#include <string>

#include "tests/catch.hpp"
#include "tests/ledger_fixtures.hpp"

namespace credits::actors {
namespace {

using namespace credits::tests;

ledger::Entry entry_with(const std::string& text, std::uint64_t version = 1) {
  ledger::Row row = ledger::blank_row("a", november);
  row.version = version - 1;
  return commit_with_key(row, text).entries.front();
}

TEST_CASE("an install with few replay keys recognises a new one") {
  Memory memory;
  memory.start(std::vector{key("stored")}, 10);
  CHECK(memory.knows(key("new")));
  CHECK(memory.look_up({key("new")}).empty());
  CHECK_FALSE(memory.knows(key("stored")));
}

TEST_CASE("an idempotency key that equals a reservation's id is another replay key") {
  Memory memory;
  memory.start(std::vector{key("x")}, 10);
  CHECK(memory.knows(ended("x")));
}

TEST_CASE("an install with many replay keys asks the store for each") {
  Memory memory;
  SECTION("from the start") { memory.start(std::nullopt, 2); }
  SECTION("from the first one too many") {
    memory.start(std::vector{key("a"), key("b")}, 2);
    CHECK(memory.knows(key("new")));
    memory.add(entry_with("c"));
  }
  CHECK_FALSE(memory.knows(key("new")));
}

TEST_CASE("an entry is found without the store while on its way, and afterwards with it") {
  Memory memory;
  memory.start(std::vector<ledger::ReplayKey>{}, 10);
  const ledger::Entry entry = entry_with("k");
  memory.add(entry);
  REQUIRE(memory.knows(key("k")));
  CHECK(memory.look_up({key("k")}).at(key("k")) == entry);
  memory.forget_stored(entry.version);
  CHECK_FALSE(memory.knows(key("k")));
}

TEST_CASE("the store's reply is valid until it is forgotten") {
  Memory memory;
  memory.start(std::nullopt, 10);
  const ledger::Entry entry = entry_with("k");
  memory.learn({key("k"), key("none")}, {entry, std::nullopt});
  CHECK(memory.knows(key("none")));
  CHECK(memory.look_up({key("k"), key("none")}) == Remembered{{key("k"), entry}});
  memory.forget_recalled();
  CHECK_FALSE(memory.knows(key("k")));
  CHECK_FALSE(memory.knows(key("none")));
}

TEST_CASE(
    "a replay key unknown to the store is not new any more once it has been added and stored") {
  Memory memory;
  memory.start(std::nullopt, 10);
  memory.learn({key("k")}, {std::nullopt});
  const ledger::Entry entry = entry_with("k");
  memory.add(entry);
  memory.forget_stored(entry.version);
  CHECK_FALSE(memory.knows(key("k")));
}

TEST_CASE("entries on their way are all kept, however many") {
  Memory memory;
  memory.start(std::vector<ledger::ReplayKey>{}, 1'000);
  for (std::uint64_t version = 1; version <= 100; ++version) {
    memory.add(entry_with("k" + std::to_string(version), version));
    memory.forget_stored(version / 2);
  }
  for (std::uint64_t version = 51; version <= 100; ++version) {
    CHECK(memory.knows(key("k" + std::to_string(version))));
  }
}

}  // namespace
}  // namespace credits::actors
