// A mutation is stored if and only if it follows the newest stamp of its install, regardless of who
// holds the stamp, and of changes to the ledger meanwhile. One suite for all engines.
#include <string>
#include <vector>

#include "persistence/stamp.hpp"
#include "persistence/store.hpp"
#include "tests/catch.hpp"
#include "tests/ledger_fixtures.hpp"
#include "tests/persistence/engines.hpp"

namespace credits::persistence {
namespace {

using namespace credits::tests;
using Outcomes = std::vector<Outcome>;

ledger::Row row_of(const std::string& id) { return ledger::blank_row(id, november); }

StampedRow load(Store& store, const std::string& id) { return store.load(std::vector{id}).front(); }

std::size_t entries_of(Store& store, const std::string& id) {
  return store.entries(id, 1'000, 1'000).size();
}

Mutation following(const Stamp& stamp, Mutation mutation) {
  mutation.follows = stamp;
  return mutation;
}

// Appends a mutation that must be stored. Returns its stamp.
Stamp stored(Store& store, const Stamp& stamp, const Mutation& mutation) {
  const auto appended = store.append(std::vector{following(stamp, mutation)});
  REQUIRE(appended.front().outcome == Outcome::stored);
  CHECK(appended.front().stamp.version == mutation.after.version);
  return appended.front().stamp;
}

// Appends a mutation that must not be stored.
void check_conflict(Store& store, const Stamp& stamp, const Mutation& mutation) {
  const auto appended = store.append(std::vector{following(stamp, mutation)});
  CHECK(appended.front().outcome == Outcome::conflict);
}

EVERY_ENGINE("a row comes with its stamp, and so does an install that does not exist") {
  TestType engine;
  CHECK(load(engine.store(), "a").row == std::nullopt);
  CHECK(load(engine.store(), "a").stamp == Stamp{});
  auto row = row_of("a");
  const auto first = stored(engine.store(), {}, create(row));
  const auto second = stored(engine.store(), first, commit(row));
  CHECK(first != second);
  for (int round = 0; round < 2; ++round) {
    CHECK(load(engine.store(), "a").row == row);
    CHECK(load(engine.store(), "a").stamp == second);
    CHECK(engine.store().peek(std::vector<std::string>{"a"}).front().stamp == second);
    engine.store().checkpoint();
  }
}

EVERY_ENGINE(
    "a mutation of the newest stamp is stored, whether a load or an append returned the stamp") {
  TestType engine;
  auto row = row_of("a");
  Stamp stamp;
  for (int n = 0; n < 12; ++n) {
    if (n % 2 == 1) engine.store().checkpoint();
    if (n % 3 == 1) stamp = load(engine.store(), "a").stamp;
    if (n % 4 == 3) engine.store().checkpoint();
    stamp = stored(engine.store(), stamp, commit(row));
  }
  CHECK(load(engine.store(), "a").row == row);
  CHECK(entries_of(engine.store(), "a") == 12);
}

EVERY_ENGINE("a mutation of an old stamp conflicts, whatever was written since") {
  TestType engine;
  auto row = row_of("a");
  std::vector<std::pair<Stamp, ledger::Row>> old{{load(engine.store(), "a").stamp, row}};
  old.emplace_back(stored(engine.store(), old.back().first, create(row)), row);
  old.emplace_back(load(engine.store(), "a").stamp, row);
  engine.store().checkpoint();
  old.emplace_back(load(engine.store(), "a").stamp, row);
  const Stamp newest = stored(engine.store(), old.back().first, commit(row));
  const bool is_checkpointed = GENERATE(false, true);
  for (auto& [stamp, seen] : old) {
    if (is_checkpointed) engine.store().checkpoint();
    check_conflict(engine.store(), stamp, commit(seen));
  }
  CHECK(load(engine.store(), "a").stamp == newest);
  CHECK(load(engine.store(), "a").row == row);
  CHECK(entries_of(engine.store(), "a") == 2);
}

EVERY_ENGINE("an install that was loaded before it was created conflicts") {
  TestType engine;
  const Stamp none = load(engine.store(), "a").stamp;
  auto row = row_of("a");
  stored(engine.store(), load(engine.store(), "a").stamp, create(row));
  if (GENERATE(false, true)) engine.store().checkpoint();
  auto other = row_of("a");
  check_conflict(engine.store(), none, commit(other, 7));
  CHECK(load(engine.store(), "a").row == row);
}

EVERY_ENGINE("a version that was replaced by another history conflicts, and a load shows that") {
  TestType engine;
  engine.keep();
  auto lost = row_of("a");
  const Stamp first = stored(engine.store(), {}, create(lost));
  const Stamp of_lost = stored(engine.store(), first, commit(lost, 7));
  engine.go_back();
  auto kept = row_of("a");
  const Stamp first_of_kept = stored(engine.store(), {}, create(kept));
  const Stamp of_kept = stored(engine.store(), first_of_kept, commit(kept, 1));
  REQUIRE(of_kept.version == of_lost.version);
  CHECK(of_kept != of_lost);
  if (GENERATE(false, true)) engine.store().checkpoint();

  check_conflict(engine.store(), of_lost, commit(lost, 7));
  const auto loaded = load(engine.store(), "a");
  CHECK(loaded.row == kept);
  CHECK(loaded.stamp == of_kept);
  stored(engine.store(), loaded.stamp, commit(kept, 2));
  CHECK(load(engine.store(), "a").row == kept);
}

EVERY_ENGINE("an install that is gone conflicts, and is not created again") {
  TestType engine;
  auto row = row_of("a");
  auto other = row_of("b");
  const Stamp of_other = stored(engine.store(), {}, create(other));
  engine.keep();
  const Stamp stamp = stored(engine.store(), {}, create(row));
  if (GENERATE(false, true)) engine.store().checkpoint();
  engine.go_back();
  const auto lost = following(stamp, commit(row));
  CHECK(outcomes_of(engine.store().append(std::vector{lost, following(of_other, commit(other))})) ==
        Outcomes{Outcome::conflict, Outcome::stored});
  CHECK_FALSE(load(engine.store(), "a").row);
  CHECK(load(engine.store(), "a").stamp == Stamp{});
  CHECK(entries_of(engine.store(), "a") == 0);
  CHECK(load(engine.store(), "b").row == other);
}

EVERY_ENGINE("after a failover that lost the last write, its owner's next one conflicts") {
  TestType engine;
  auto row = row_of("a");
  const Stamp first = stored(engine.store(), {}, create(row));
  const auto kept = row;
  engine.keep();
  const Stamp lost = stored(engine.store(), first, commit(row, 7));
  engine.go_back();
  check_conflict(engine.store(), lost, commit(row));
  const auto loaded = load(engine.store(), "a");
  CHECK(loaded.row == kept);
  CHECK(loaded.stamp == first);
  auto next = kept;
  stored(engine.store(), loaded.stamp, commit(next));
  CHECK(load(engine.store(), "a").row == next);
}

EVERY_ENGINE("mutations of one install in a batch follow each other, and each has its stamp") {
  TestType engine;
  auto a = row_of("a");
  auto b = row_of("b");
  std::vector batch{create(a), create(b), commit(a), commit(b), merged({commit(a), commit(a)})};
  batch[2].follows = {77};  // it follows the one before it all the same
  const auto appended = engine.store().append(batch);
  CHECK(outcomes_of(appended) == Outcomes(5, Outcome::stored));
  std::vector<std::uint64_t> versions;
  for (const Appended& each : appended) versions.push_back(each.stamp.version);
  CHECK(versions == std::vector<std::uint64_t>{1, 1, 2, 2, 4});
  CHECK(load(engine.store(), "a").stamp == appended[4].stamp);
  CHECK(load(engine.store(), "b").stamp == appended[3].stamp);

  auto late = batch[2].after;
  check_conflict(engine.store(), appended[2].stamp, commit(late));
  stored(engine.store(), appended[4].stamp, commit(a));
  stored(engine.store(), appended[3].stamp, commit(b));
}

EVERY_ENGINE("a conflict in the middle of a batch affects its install alone, and all of it") {
  TestType engine;
  auto a = row_of("a");
  auto b = row_of("b");
  auto c = row_of("c");
  const auto made = engine.store().append(std::vector{create(a), create(b), create(c)});
  const Stamp newest = stored(engine.store(), made[1].stamp, commit(b));
  const auto before = b;
  auto stale = row_of("b");
  create(stale);
  const std::vector batch{following(made[0].stamp, commit(a)),
                          following(made[1].stamp, commit(stale)),
                          following(made[2].stamp, commit(c)),
                          commit(a),
                          commit(stale),
                          commit(c)};
  const auto appended = engine.store().append(batch);
  CHECK(outcomes_of(appended) == Outcomes{Outcome::stored, Outcome::conflict, Outcome::stored,
                                          Outcome::stored, Outcome::conflict, Outcome::stored});
  for (const auto& row : {a, before, c}) CHECK(load(engine.store(), row.install_id).row == row);
  CHECK(load(engine.store(), "a").stamp == appended[3].stamp);
  CHECK(load(engine.store(), "b").stamp == newest);
}

TEMPLATE_TEST_CASE("a mutation of unknown outcome conflicts when it is sent again", "", Memory,
                   Postgres) {
  TestType engine;
  auto row = row_of("a");
  const Stamp first = stored(engine.store(), {}, create(row));
  const auto debit = following(first, commit(row, 7));
  engine.lose_next_outcome();
  CHECK_THROWS_AS(engine.store().append(std::vector{debit}), StoreError);
  check_conflict(engine.store(), first, debit);
  const auto loaded = load(engine.store(), "a");
  CHECK(loaded.row == row);
  CHECK(entries_of(engine.store(), "a") == 2);
  stored(engine.store(), loaded.stamp, commit(row));
}

TEMPLATE_TEST_CASE("a stamp is current as long as the store has no newer one and the same history",
                   "", Memory, Postgres) {
  TestType engine;
  engine.keep();
  auto a = row_of("a");
  auto b = row_of("b");
  const Stamp of_a = stored(engine.store(), {}, create(a));
  const Stamp of_b = stored(engine.store(), {}, create(b));
  const auto are_current = [&](const std::vector<Seen>& seen) {
    return engine.store().are_current(seen);
  };
  CHECK(are_current({{"a", of_a}, {"b", of_b}, {"c", {}}, {"a", {}}}) ==
        std::vector<bool>{true, true, true, false});
  const Stamp newer = stored(engine.store(), of_b, commit(b));
  CHECK(are_current({{"a", of_a}, {"b", of_b}, {"b", newer}}) ==
        std::vector<bool>{true, false, true});
  engine.go_back();
  auto other = row_of("a");
  stored(engine.store(), {}, commit(other, 7));
  CHECK(are_current({{"a", of_a}, {"b", newer}, {"b", {}}}) ==
        std::vector<bool>{false, false, true});
}

}  // namespace
}  // namespace credits::persistence
