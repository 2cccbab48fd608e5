// The promises of every engine, in one suite for all of them.
#include "persistence/store.hpp"

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "tests/ledger_fixtures.hpp"
#include "tests/persistence/engines.hpp"
#include "tests/told.hpp"

namespace credits::persistence {
namespace {

using namespace credits::tests;
using Outcomes = std::vector<Outcome>;

constexpr auto any_version = std::numeric_limits<std::int64_t>::max();

ledger::Row row_of(const std::string& id) { return ledger::blank_row(id, november); }

std::optional<ledger::Row> load(Store& store, const std::string& id) {
  return store.load(std::vector{id}).front().row;
}

std::vector<std::string> ids_of(const std::vector<ledger::Row>& rows) {
  std::vector<std::string> ids;
  for (const auto& row : rows) ids.push_back(row.install_id);
  return ids;
}

std::vector<ledger::Row> rows_of(RowCursor& cursor) {
  std::vector<ledger::Row> rows;
  while (auto row = cursor.next()) rows.push_back(*std::move(row));
  return rows;
}

EVERY_ENGINE("an empty ledger has nothing") {
  TestType engine;
  for (const StampedRow& found : engine.store().load(std::vector<std::string>{"a", "b"})) {
    CHECK_FALSE(found.row);
  }
  CHECK(engine.store().list({}).empty());
  CHECK(engine.store().entries("a", any_version, 10).empty());
  CHECK_FALSE(engine.store().snapshot()->next());
  CHECK(engine.store().installs() == 0);
  CHECK(append(engine.store(), std::vector<Mutation>{}).empty());
  engine.store().checkpoint();
}

EVERY_ENGINE("an appended row is loaded, field by field, before a checkpoint and after it") {
  TestType engine;
  auto row = row_of("a");
  row.reservations = {
      {"hold", "pro", ledger::Backend::hardware, ledger::Counter::monthly, 5, row.month, november}};
  const auto first = create(row);
  const auto second = commit(row, 3);
  const auto third = commit(row, 5, "pro", december);
  CHECK(append(engine.store(), std::vector{first, second, third}) ==
        Outcomes{Outcome::stored, Outcome::stored, Outcome::stored});
  CHECK(load(engine.store(), "a") == row);
  engine.store().checkpoint();
  CHECK(load(engine.store(), "a") == row);
  CHECK(engine.store().installs() == 1);
}

EVERY_ENGINE("rows are loaded in the order of the ids, with a gap for each unknown one") {
  TestType engine;
  auto a = row_of("a");
  auto b = row_of("b");
  append(engine.store(), std::vector{create(a), create(b)});
  std::vector<std::optional<ledger::Row>> rows;
  for (StampedRow& found : engine.store().load(std::vector<std::string>{"b", "x", "a", "b"})) {
    rows.push_back(std::move(found.row));
  }
  CHECK(rows == std::vector<std::optional<ledger::Row>>{b, std::nullopt, a, b});
}

EVERY_ENGINE("a mutation of another version than the stored one conflicts and stores nothing") {
  TestType engine;
  auto row = row_of("a");
  append(engine.store(), std::vector{create(row)});
  auto other_writer = row;
  append(engine.store(), std::vector{commit(row)});
  if (GENERATE(false, true)) engine.store().checkpoint();

  CHECK(append(engine.store(), std::vector{commit(other_writer)}) == Outcomes{Outcome::conflict});
  auto ahead = row;
  ahead.version += 1;
  CHECK(append(engine.store(), std::vector{commit(ahead)}) == Outcomes{Outcome::conflict});
  auto unknown = row_of("b");
  unknown.version = 1;
  CHECK(append(engine.store(), std::vector{commit(unknown)}) == Outcomes{Outcome::conflict});
  auto twice = row_of("a");
  CHECK(append(engine.store(), std::vector{create(twice)}) == Outcomes{Outcome::conflict});

  CHECK(load(engine.store(), "a") == row);
  CHECK_FALSE(load(engine.store(), "b"));
  CHECK(engine.store().entries("a", any_version, 10).size() == 2);
}

EVERY_ENGINE("a conflict affects the later mutations of its install, and nothing else") {
  TestType engine;
  auto a = row_of("a");
  auto b = row_of("b");
  append(engine.store(), std::vector{create(a), create(b)});
  auto stale = row_of("a");
  const auto conflicting = create(stale);
  const auto following = commit(stale);
  const auto of_b = commit(b);
  CHECK(append(engine.store(), std::vector{conflicting, of_b, following}) ==
        Outcomes{Outcome::conflict, Outcome::stored, Outcome::conflict});
  CHECK(load(engine.store(), "a") == a);
  CHECK(load(engine.store(), "b") == b);
}

EVERY_ENGINE("entries are read newest first, page by page, without a gap") {
  TestType engine;
  auto row = row_of("a");
  auto other = row_of("b");
  std::vector<ledger::Entry> expected;
  for (int i = 0; i < 7; ++i) {
    const auto mutation = i == 0 ? create(row) : commit(row, i);
    expected.insert(expected.begin(), mutation.entries.front());
    append(engine.store(), std::vector{mutation, i == 0 ? create(other) : commit(other)});
    if (i == 3) engine.store().checkpoint();
  }
  CHECK(engine.store().entries("a", any_version, 100) == expected);
  std::vector<ledger::Entry> paged;
  std::uint64_t before = any_version;
  while (true) {
    const auto page = engine.store().entries("a", before, 3);
    if (page.empty()) break;
    paged.insert(paged.end(), page.begin(), page.end());
    before = page.back().version;
  }
  CHECK(paged == expected);
}

EVERY_ENGINE("an entry keeps all its fields") {
  TestType engine;
  auto row = row_of("a");
  row.tier_snapshot = "retired";
  row.lifetime_consumed = 1;
  row.lifetime_gemini_consumed = 2;
  row.monthly_consumed = 3;
  row.monthly_gemini_consumed = 4;
  auto imported = row_of("a");
  const auto import = mutate(imported, ledger::import_entry(row, december));
  auto debit =
      ledger::commit_entry(imported, {ledger::Backend::hardware, "pro", 9}, quota, december);
  debit.idempotency_key = "key";
  debit.reservation_id = "reservation";
  const auto commit = mutate(imported, debit);
  append(engine.store(), std::vector{import, commit});
  CHECK(engine.store().entries("a", any_version, 10) ==
        std::vector{commit.entries.front(), import.entries.front()});
}

EVERY_ENGINE("an entry keeps its reservation and its receipt") {
  TestType engine;
  auto row = row_of("a");
  const auto held = reserve(row, "r", 5, "pro");
  const auto debit = commit_with_key(row, "k");
  append(engine.store(), std::vector{held, debit});
  CHECK(engine.store().entries("a", any_version, 10) ==
        std::vector{debit.entries.front(), held.entries.front()});
  CHECK(load(engine.store(), "a") == row);
}

EVERY_ENGINE("a mutation of several entries is stored whole, with a version for each") {
  TestType engine;
  auto row = row_of("a");
  append(engine.store(), std::vector{reserve(row, "r", 5), reserve(row, "s", 6)});
  const auto before = row;
  const auto whole = merged({settle(row, "r", 5), settle(row, "s", 1), commit(row)});
  CHECK(append(engine.store(), std::vector{whole}) == Outcomes{Outcome::stored});
  CHECK(load(engine.store(), "a") == row);
  CHECK(engine.store().entries("a", any_version, 3).back().version == 3);

  auto old = before;
  CHECK(append(engine.store(), std::vector{merged({settle(old, "r", 1), commit(old)})}) ==
        Outcomes{Outcome::conflict});
  CHECK(load(engine.store(), "a") == row);
  CHECK(engine.store().entries("a", any_version, 100).size() == 5);
}

EVERY_ENGINE("an entry is found by its key and by the reservation that it ended") {
  TestType engine;
  auto row = row_of("a");
  auto other = row_of("b");
  const auto debit = commit_with_key(row, "k");
  const auto held = reserve(row, "r");
  append(engine.store(), std::vector{debit, held, commit_with_key(other, "other")});
  const auto end = settle(row, "r", 1);
  const std::vector replay_keys{key("k"), ended("k"), ended("r"), key("r"), key("other")};
  CHECK_FALSE(engine.store().recall("a", replay_keys)[2]);
  append(engine.store(), std::vector{end});
  for (int round = 0; round < 2; ++round) {
    CHECK(engine.store().recall("a", replay_keys) ==
          std::vector<std::optional<ledger::Entry>>{debit.entries.front(), std::nullopt,
                                                    end.entries.front(), std::nullopt,
                                                    std::nullopt});
    CHECK(engine.store().recall("unknown", replay_keys) ==
          std::vector<std::optional<ledger::Entry>>(replay_keys.size()));
    engine.store().checkpoint();
  }
}

EVERY_ENGINE("a name that several entries have finds the newest") {
  TestType engine;
  auto row = row_of("a");
  append(engine.store(), std::vector{commit_with_key(row, "k")});
  if (GENERATE(true, false)) engine.store().checkpoint();
  const auto second = commit_with_key(row, "k");
  append(engine.store(), std::vector{second});
  if (GENERATE(true, false)) engine.store().checkpoint();
  CHECK(engine.store().recall("a", std::vector{key("k")}).front() == second.entries.front());
  CHECK(engine.store().replay_keys("a", 10) == std::vector{key("k")});
}

EVERY_ENGINE("an install's names are returned, unless there are too many") {
  TestType engine;
  auto row = row_of("a");
  CHECK(engine.store().replay_keys("a", 0) == std::vector<ledger::ReplayKey>{});
  append(engine.store(), std::vector{commit_with_key(row, "k"), reserve(row, "r")});
  engine.store().checkpoint();
  append(engine.store(), std::vector{settle(row, "r", 1)});
  auto replay_keys = engine.store().replay_keys("a", 2);
  REQUIRE(replay_keys);
  CHECK(replay_keys->size() == 2);
  CHECK(std::count(replay_keys->begin(), replay_keys->end(), key("k")) == 1);
  CHECK(std::count(replay_keys->begin(), replay_keys->end(), ended("r")) == 1);
  CHECK_FALSE(engine.store().replay_keys("a", 1));
  CHECK(engine.store().replay_keys("b", 0) == std::vector<ledger::ReplayKey>{});
}

EVERY_ENGINE("pruning deletes the oldest entries, and leaves the rows and no gap") {
  TestType engine;
  auto row = row_of("a");
  auto idle = row_of("b");
  append(engine.store(), std::vector{create(idle), create(row), commit(row)});
  const auto later = november + std::chrono::hours{1};
  append(engine.store(), std::vector{commit(row, 3, "core", later)});
  while (engine.store().prune({later, later})) {
  }
  CHECK(load(engine.store(), "a") == row);
  CHECK(load(engine.store(), "b") == idle);
  CHECK(engine.store().entries("b", any_version, 10).empty());
  REQUIRE(engine.store().entries("a", any_version, 10).size() == 1);
  CHECK(engine.store().entries("a", any_version, 10).front().version == 3);
  CHECK(append(engine.store(), std::vector{commit(row), commit(idle)}) ==
        Outcomes{Outcome::stored, Outcome::stored});
  CHECK(engine.store().entries("b", any_version, 10).size() == 1);
  CHECK(engine.store().installs() == 2);
}

EVERY_ENGINE("an entry that a name still finds is kept, and so are later ones") {
  TestType engine;
  auto row = row_of("a");
  const auto remembered = commit_with_key(row, "k");
  append(engine.store(), std::vector{remembered, commit(row)});
  const auto now = november + std::chrono::hours{1};
  while (engine.store().prune({now, november})) {
  }
  CHECK(engine.store().entries("a", any_version, 10).size() == 2);
  CHECK(engine.store().recall("a", std::vector{key("k")}).front() == remembered.entries.front());
  engine.store().checkpoint();
  while (engine.store().prune({now, now})) {
  }
  CHECK(engine.store().entries("a", any_version, 10).empty());
  CHECK_FALSE(engine.store().recall("a", std::vector{key("k")}).front());
  CHECK(engine.store().replay_keys("a", 10) == std::vector<ledger::ReplayKey>{});
}

TEMPLATE_TEST_CASE("an install with invalid text fails alone", "", Sqlite, Postgres) {
  TestType engine;
  const std::string tier = GENERATE(as<std::string>{}, std::string{"a\0b", 3}, "\xff", "\xc3",
                                    "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\x80");
  auto a = row_of("a");
  auto b = row_of("b");
  auto c = row_of("c");
  append(engine.store(), std::vector{create(a), create(b), create(c)});
  const auto before = b;
  CHECK(append(engine.store(), std::vector{commit(a), commit(b, 1, tier), commit(c)}) ==
        Outcomes{Outcome::stored, Outcome::damaged, Outcome::stored});
  for (const auto& row : {a, before, c}) CHECK(load(engine.store(), row.install_id) == row);
  CHECK(engine.store().list({"", "", tier, 10}).empty());
  CHECK(engine.store().list({}).size() == 3);
  engine.store().ping();
  engine.store().probe_write();
  b = before;
  CHECK(append(engine.store(), std::vector{commit(b, 1, "t\xc3\xa4\xf0\x9f\x98\x80")}).front() ==
        Outcome::stored);
}

TEMPLATE_TEST_CASE("an import with invalid text names the install and stores nothing", "", Sqlite,
                   Postgres) {
  TestType engine;
  auto a = row_of("a");
  auto b = row_of("b");
  check_tells(told_by<StoreError>([&] {
                engine.store().import(std::vector{create(a), commit(b, 1, "\xff")});
              }),
              {"install \"b\"", "tier", "UTF-8"});
  CHECK(engine.store().list({}).empty());
}

EVERY_ENGINE("the entries that one install keeps do not keep those of others") {
  TestType engine;
  const auto now = november + std::chrono::hours{1};
  const auto ahead = now + std::chrono::hours{24 * 365};
  auto dated_ahead = row_of("a");
  auto remembered = row_of("b");
  auto other = row_of("c");
  append(engine.store(),
         std::vector{commit(dated_ahead, 1, "core", ahead), commit(remembered),
                     commit_with_key(remembered, "k"), commit_with_key(other, "old")});
  append(engine.store(), std::vector{commit(dated_ahead), commit(remembered), commit(other)});
  engine.store().checkpoint();
  const auto kept = [&](const std::string& id) {
    std::vector<std::uint64_t> versions;
    for (const auto& entry : engine.store().entries(id, any_version, 10)) {
      versions.push_back(entry.version);
    }
    return versions;
  };
  const auto prune = [&](ledger::Time replay_keys_before) {
    while (engine.store().prune({now, replay_keys_before})) {
    }
  };
  SECTION("as long as a name is remembered") {
    prune(november);
    CHECK(kept("b") == std::vector<std::uint64_t>{3, 2});
    CHECK(kept("c") == std::vector<std::uint64_t>{2, 1});
    CHECK(engine.store().recall("b", std::vector{key("k")}).front());
  }
  SECTION("for ever, if it is dated ahead") {}
  prune(now);
  CHECK(kept("a") == std::vector<std::uint64_t>{2, 1});
  CHECK(kept("b").empty());
  CHECK(kept("c").empty());
  CHECK_FALSE(engine.store().recall("b", std::vector{key("k")}).front());
  CHECK_FALSE(engine.store().recall("c", std::vector{key("old")}).front());
  for (const auto& row : {dated_ahead, remembered, other}) {
    CHECK(load(engine.store(), row.install_id) == row);
  }
  CHECK(append(engine.store(), std::vector{commit(dated_ahead), commit(remembered),
                                           commit(other)}) == Outcomes(3, Outcome::stored));
}

EVERY_ENGINE("a reused name is remembered as long as its newest entry") {
  TestType engine;
  auto row = row_of("a");
  const auto later = november + std::chrono::hours{1};
  const auto second = [&] {
    append(engine.store(), std::vector{commit_with_key(row, "k")});
    return commit_with_key(row, "k", later);
  }();
  append(engine.store(), std::vector{second});
  engine.store().checkpoint();
  while (engine.store().prune({later, later})) {
  }
  CHECK(engine.store().recall("a", std::vector{key("k")}).front() == second.entries.front());
}

EVERY_ENGINE("a list is in id order, and its filters combine") {
  TestType engine;
  std::vector<Mutation> mutations;
  for (const std::string id : {"b/2", "b/1", "a", "c", "~", "!"}) {
    auto row = row_of(id);
    mutations.push_back(create(row));
    if (id[0] == 'b') mutations.push_back(commit(row, 1, "pro"));
  }
  append(engine.store(), mutations);
  using Ids = std::vector<std::string>;
  const auto list = [&](const ListQuery& query) { return ids_of(engine.store().list(query)); };
  CHECK(list({}) == Ids{"!", "a", "b/1", "b/2", "c", "~"});
  CHECK(list({.after = {}, .prefix = {}, .tier = {}, .limit = 2}) == Ids{"!", "a"});
  CHECK(list({.after = "a", .prefix = {}, .tier = {}, .limit = 2}) == Ids{"b/1", "b/2"});
  CHECK(list({.after = "aa", .prefix = {}, .tier = {}, .limit = 1}) == Ids{"b/1"});
  CHECK(list({.after = {}, .prefix = "b", .tier = {}, .limit = 9}) == Ids{"b/1", "b/2"});
  CHECK(list({.after = "b/1", .prefix = "b/", .tier = {}, .limit = 9}) == Ids{"b/2"});
  CHECK(list({.after = "c", .prefix = "b", .tier = {}, .limit = 9}) == Ids{});
  CHECK(list({.after = {}, .prefix = "~", .tier = {}, .limit = 9}) == Ids{"~"});
  CHECK(list({.after = "~", .prefix = {}, .tier = {}, .limit = 9}) == Ids{});
  CHECK(list({.after = {}, .prefix = {}, .tier = "pro", .limit = 9}) == Ids{"b/1", "b/2"});
  CHECK(list({.after = {}, .prefix = "a", .tier = "pro", .limit = 9}) == Ids{});
  CHECK(list({.after = {}, .prefix = "'; --", .tier = "%", .limit = 9}) == Ids{});
}

EVERY_ENGINE("a snapshot does not change while the ledger does") {
  TestType engine;
  auto a = row_of("a");
  auto b = row_of("b");
  auto c = row_of("c");
  append(engine.store(), std::vector{create(b), create(a)});
  const auto before = std::vector{a, b};
  const auto cursor = engine.store().snapshot();
  append(engine.store(), std::vector{commit(a), commit(b), create(c)});
  engine.store().checkpoint();
  CHECK(rows_of(*cursor) == before);
  CHECK(rows_of(*engine.store().snapshot()) == std::vector{a, b, c});
}

// Appends batches of random mutations, some of them stale, and keeps a plain model beside them.
EVERY_ENGINE("after any history, the rows are the results of their entries") {
  TestType engine;
  const auto seed = GENERATE(range(1U, 6U));
  INFO("seed " << seed);
  std::mt19937 random{seed};
  const auto pick = [&random](int max) { return std::uniform_int_distribution{0, max}(random); };
  std::map<std::string, ledger::Row> model;
  std::vector<ledger::Row> stale;
  for (int batch = 0; batch < 60; ++batch) {
    if (!stale.empty()) {
      ledger::Row row = stale[static_cast<std::size_t>(pick(static_cast<int>(stale.size()) - 1))];
      CHECK(append(engine.store(), std::vector{commit(row)}) == Outcomes{Outcome::conflict});
    }
    std::vector<Mutation> mutations;
    for (int i = pick(6); i >= 0; --i) {
      const std::string id = "install-" + std::to_string(pick(9));
      auto& row = model.try_emplace(id, row_of(id)).first->second;
      if (row.version > 0) stale.push_back(row);
      mutations.push_back(commit(row, 1 + pick(9), pick(1) == 0 ? "core" : "pro",
                                 november + std::chrono::hours{24 * batch}));
    }
    CHECK(append(engine.store(), mutations) == Outcomes(mutations.size(), Outcome::stored));
    if (pick(9) == 0) engine.store().checkpoint();
  }
  CHECK(engine.store().installs() == model.size());
  for (const auto& [id, row] : model) {
    CHECK(load(engine.store(), id) == row);
    auto entries = engine.store().entries(id, any_version, 1'000);
    REQUIRE(entries.size() == row.version);
    ledger::Row replayed = row_of(id);
    for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
      ledger::apply(replayed, *entry);
    }
    CHECK(replayed == row);
  }
}

}  // namespace
}  // namespace credits::persistence
