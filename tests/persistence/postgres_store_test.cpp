// The PostgreSQL engine's promises while others work on the same tables: rows that another
// transaction holds, rows and histories that change without the node's knowledge, and short
// time-outs.
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "persistence/migration/migrate.hpp"
#include "persistence/postgres/connection.hpp"
#include "persistence/postgres/store.hpp"
#include "persistence/sqlite/journal.hpp"
#include "tests/catch.hpp"
#include "tests/ledger_fixtures.hpp"
#include "tests/persistence/temporary_schema.hpp"
#include "tests/store_errors.hpp"
#include "tests/temporary_directory.hpp"
#include "tests/told.hpp"

namespace credits::persistence {
namespace {

using namespace credits::tests;
using namespace std::chrono_literals;
using Outcomes = std::vector<Outcome>;

// Two nodes over one ledger, and a session beside them.
struct Nodes {
  TemporarySchema schema;
  std::unique_ptr<Store> first = open_postgres_store(schema.uri());
  std::unique_ptr<Store> second = open_postgres_store(schema.uri());
  postgres::Connection other{schema.uri()};

  std::string value(const std::string& select) {
    // The connection keeps its statements by their addresses.
    statements_.push_back(std::make_unique<std::string>(select));
    return other.run(statements_.back()->c_str()).text(0, 0);
  }

 private:
  std::vector<std::unique_ptr<std::string>> statements_;
};

ledger::Row row_of(const std::string& id) { return ledger::blank_row(id, november); }

ledger::Row load(Store& store, const std::string& id) {
  return store.load(std::vector{id}).front().row.value();
}

TEST_CASE("a held row is busy, and the rest of the batch is written") {
  Nodes nodes;
  std::vector<ledger::Row> rows{row_of("a"), row_of("b"), row_of("c")};
  append(*nodes.first, std::vector{create(rows[0]), create(rows[1]), create(rows[2])});
  nodes.other.run_script("BEGIN; SELECT FROM credits_installs WHERE install_id = 'b' FOR UPDATE");
  for (int i = 0; i < 3; ++i) {
    rows[1] = load(*nodes.first, "b");
    CHECK(append(*nodes.first, std::vector{commit(rows[0]), commit(rows[1]), commit(rows[2])}) ==
          Outcomes{Outcome::stored, Outcome::busy, Outcome::stored});
  }
  CHECK(load(*nodes.second, "a").version == 4);
  CHECK(load(*nodes.second, "b").version == 1);
  nodes.other.run_script("COMMIT");
  rows[1] = load(*nodes.first, "b");
  CHECK(append(*nodes.first, commit(rows[1])) == Outcome::stored);
}

TEST_CASE(
    "an install that another transaction is creating is busy, and the rest of the batch is "
    "written") {
  Nodes nodes;
  nodes.other.run_script(
      "BEGIN; INSERT INTO credits_installs VALUES ('b', 'core', 0, 0, 202611, 0, 0, 0, 1,"
      " NULL, NULL, 0)");
  std::vector<ledger::Row> rows{row_of("a"), row_of("b"), row_of("c"), row_of("d")};
  CHECK(append(*nodes.first,
               std::vector{create(rows[0]), create(rows[1]), create(rows[2]), create(rows[3])}) ==
        Outcomes{Outcome::stored, Outcome::busy, Outcome::stored, Outcome::stored});
  nodes.other.run_script("ROLLBACK");
  Outcome outcome = Outcome::busy;
  for (int tries = 0; outcome == Outcome::busy && tries < 100; ++tries) {
    std::this_thread::sleep_for(100ms);
    rows[1] = row_of("b");
    outcome = append(*nodes.first, create(rows[1]));
  }
  CHECK(outcome == Outcome::stored);
}

TEST_CASE("a locked table fails a batch as a whole, and does not divide it") {
  Nodes nodes;
  std::vector<ledger::Row> rows;
  std::vector<Mutation> mutations;
  for (int i = 0; i < 1'000; ++i) rows.push_back(row_of("i" + std::to_string(i)));
  for (ledger::Row& row : rows) mutations.push_back(create(row));
  nodes.other.run_script("BEGIN; LOCK TABLE credits_names IN ACCESS EXCLUSIVE MODE");
  CHECK_THROWS_AS(append(*nodes.first, mutations), StoreError);
  nodes.other.run_script("COMMIT");
  CHECK(append(*nodes.first, mutations) == Outcomes(rows.size(), Outcome::stored));
}

TEST_CASE("an install whose entry exists already is damaged, and the rest is written") {
  Nodes nodes;
  std::vector<ledger::Row> rows{row_of("a"), row_of("b"), row_of("c")};
  append(*nodes.first, std::vector{create(rows[0]), create(rows[1]), create(rows[2])});
  nodes.other.run_script(
      "INSERT INTO credits_entries SELECT install_id, 2, at_ms, kind, tier, backend, credits,"
      " counter, month, NULL, NULL, NULL, NULL, NULL, NULL, NULL, mutation_id, hash"
      " FROM credits_entries WHERE install_id = 'b'");
  CHECK(append(*nodes.first, std::vector{commit(rows[0]), commit(rows[1]), commit(rows[2])}) ==
        Outcomes{Outcome::stored, Outcome::damaged, Outcome::stored});
}

TEST_CASE("a row with values that no entries lead to is damaged") {
  const std::string change = GENERATE("monthly_consumed = -1", "lifetime_gemini_consumed = -1",
                                      "version = 0", "version = -1", "hash = 'short'", "hash = ''");
  INFO(change);
  Nodes nodes;
  auto row = row_of("a");
  append(*nodes.first, create(row));
  nodes.other.run_script("UPDATE credits_installs SET " + change);
  try {
    load(*nodes.first, "a");
    FAIL("the row was accepted");
  } catch (const StoreError& error) {
    CHECK(error.kind() == StoreErrorKind::damaged);
    check_tells(error.what(), {"\"a\""});
  }
}

// 1.0.0 accepted such tiers into files.
TEST_CASE(
    "a ledger with text that PostgreSQL cannot store is not copied, and the install is named") {
  const TemporaryDirectory directory;
  const TemporarySchema schema;
  auto row = row_of("a");
  const auto mutation = commit(row, 1, std::string{"a\0b", 3});
  const ledger::Entry& entry = mutation.entries.front();
  {
    Journal journal{directory.path() / "journal.db", "0123456789abcdef"};
    journal.append({{1, 0, row.install_id, entry, Hasher{}(std::nullopt, row.install_id, entry)}});
  }
  check_tells(told_by<StoreError>([&] { migrate_to_postgres(directory.path(), schema.uri()); }),
              {"install \"a\", version 1", "tier", "NUL", "export", "import"});
  CHECK(open_postgres_store(schema.uri())->list({}).empty());
}

TEST_CASE("pruning skips an install with a damaged entry, and prunes the others") {
  Nodes nodes;
  std::vector<ledger::Row> rows{row_of("a"), row_of("b")};
  for (ledger::Row& row : rows) append(*nodes.first, create(row));
  for (ledger::Row& row : rows) append(*nodes.first, commit(row, 2));
  nodes.other.run_script(
      "UPDATE credits_entries SET credits = 9 WHERE install_id = 'a' AND credits = 2");
  const ledger::Time later = november + std::chrono::hours{24};
  while (nodes.first->prune({later, later})) continue;
  while (nodes.first->prune({later, later})) continue;
  CHECK(nodes.value("SELECT count(*)::text FROM credits_entries WHERE install_id = 'a'") == "2");
  CHECK(nodes.value("SELECT count(*)::text FROM credits_entries WHERE install_id = 'b'") == "0");
  CHECK(nodes.value("SELECT count(*)::text FROM credits_baselines") == "1");
}

TEST_CASE("a row that is held only for a moment is written") {
  Nodes nodes;
  auto row = row_of("a");
  append(*nodes.first, create(row));
  nodes.other.run_script("BEGIN; SELECT FROM credits_installs FOR UPDATE");
  std::thread releases{[&] {
    std::this_thread::sleep_for(100ms);
    nodes.other.run_script("COMMIT");
  }};
  CHECK(append(*nodes.first, commit(row)) == Outcome::stored);
  releases.join();
}

TEST_CASE("an import beside another node's commit is stored as a whole or not at all") {
  Nodes nodes;
  auto other = row_of("i00500");
  append(*nodes.second, create(other));
  std::vector<Mutation> mutations;
  for (int i = 0; i < 1'000; ++i) {
    auto row = row_of("i" + std::to_string(10'000 + i));
    mutations.push_back(create(row));
  }
  CHECK_FALSE(nodes.first->import(mutations));
  CHECK(nodes.value("SELECT count(*)::text FROM credits_installs") == "1");
}

TEST_CASE("an import of more installs than fit in a statement is stored whole") {
  Nodes nodes;
  std::vector<Mutation> mutations;
  for (int i = 0; i < 20'000; ++i) {
    auto row = row_of("i" + std::to_string(i));
    mutations.push_back(create(row));
  }
  CHECK(nodes.first->import(mutations));
  CHECK(nodes.first->installs() == 20'000);
  CHECK_FALSE(nodes.second->import(mutations));
}

TEST_CASE("a batch that is too large for the server's statement_timeout is written in parts") {
  TemporarySchema schema;
  open_postgres_store(schema.uri());
  postgres::Connection{schema.uri()}.run_script(
      "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
      " 'BEGIN PERFORM pg_sleep(0.02); RETURN NEW; END';"
      "CREATE TRIGGER slow BEFORE INSERT ON credits_installs"
      " FOR EACH ROW EXECUTE FUNCTION slow()");
  const auto store = open_postgres_store(schema.uri() + "%20-cstatement_timeout%3D1s");
  std::vector<ledger::Row> rows;
  std::vector<Mutation> mutations;
  for (int i = 0; i < 100; ++i) rows.push_back(row_of("i" + std::to_string(i)));
  for (ledger::Row& row : rows) mutations.push_back(create(row));
  CHECK(append(*store, mutations) == Outcomes(rows.size(), Outcome::stored));
}

TEST_CASE("a commit's settings are made inside its own transaction") {
  Nodes nodes;
  nodes.other.run_script(
      "CREATE TABLE seen (settings text);"
      "CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN"
      "  INSERT INTO seen VALUES (current_setting(''synchronous_commit'') || '' '' ||"
      "    current_setting(''lock_timeout'')); RETURN NEW; END';"
      "CREATE TRIGGER look BEFORE INSERT ON credits_installs FOR EACH ROW EXECUTE FUNCTION look()");
  auto row = row_of("a");
  append(*nodes.first, create(row));
  CHECK(nodes.value("SELECT settings FROM seen") == "on 500ms");
}

TEST_CASE("a node does not write to a schema that a newer program has upgraded meanwhile") {
  Nodes nodes;
  auto row = row_of("a");
  append(*nodes.first, create(row));
  nodes.other.run_script("UPDATE credits_ledger SET schema_version = 9");
  CHECK(kind_thrown_by([&] { append(*nodes.first, commit(row)); }) == StoreErrorKind::broken);
  CHECK(kind_thrown_by([&] { nodes.second->ping(); }) == StoreErrorKind::broken);
  CHECK(load(*nodes.first, "a").version == 1);
}

TEST_CASE("the store's own write needs as much as any write, and leaves nothing") {
  Nodes nodes;
  nodes.first->probe_write();
  CHECK(nodes.value("SELECT count(*)::text FROM credits_entries") == "0");
  nodes.other.run_script("ALTER TABLE credits_entries RENAME TO gone");
  CHECK_THROWS_AS(nodes.first->probe_write(), StoreError);
}

}  // namespace
}  // namespace credits::persistence
