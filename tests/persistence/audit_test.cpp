// The check of a ledger: an intact one passes, and any change in the files is reported with the
// install and the version.
#include "persistence/sqlite/audit.hpp"

#include <SQLiteCpp/SQLiteCpp.h>

#include <filesystem>
#include <string>
#include <vector>

#include "persistence/sqlite/store.hpp"
#include "tests/catch.hpp"
#include "tests/ledger_fixtures.hpp"
#include "tests/temporary_directory.hpp"
#include "tests/told.hpp"

namespace credits::persistence {
namespace {

using namespace credits::tests;
namespace fs = std::filesystem;

void execute(const fs::path& file, const std::string& sql) {
  SQLite::Database database{file.string(), SQLite::OPEN_READWRITE};
  database.exec(sql);
}

// A ledger of the installs `a`, with all kinds of entries and version 9, and `b`, at version 1.
void make_ledger(const fs::path& directory) {
  const auto store = open_sqlite_store(directory);
  auto a = ledger::blank_row("a", november);
  auto b = ledger::blank_row("b", november);
  std::vector mutations{
      create(a),          create(b),          commit(a, 2, "pro"), commit_with_key(a, "k"),
      reserve(a, "r", 5), reserve(a, "s", 6), reserve(a, "t", 7)};
  mutations.push_back(settle(a, "r", 3));
  mutations.push_back(
      mutate(a, ledger::release_entry(a, *ledger::find_reservation(a, "s"), november)));
  mutations.push_back(
      mutate(a, ledger::expire_entry(a, *ledger::find_reservation(a, "t"), december)));
  append(*store, mutations);
  store->checkpoint();
}

void copy_ledger(const fs::path& from, const fs::path& to) {
  for (const char* name : {"journal.db", "snapshots.db"}) fs::copy_file(from / name, to / name);
}

TEST_CASE("an intact ledger passes, with its numbers") {
  const TemporaryDirectory directory;
  make_ledger(directory.path());
  const AuditReport report = audit(directory.path());
  CHECK_FALSE(report.fault);
  CHECK(report.installs == 2);
  CHECK(report.entries == 10);
  CHECK(report.entries_unhashed == 0);
}

TEST_CASE("a ledger passes while it is open, with rows behind its entries") {
  const TemporaryDirectory directory;
  const auto store = open_sqlite_store(directory.path());
  auto row = ledger::blank_row("a", november);
  append(*store, std::vector{create(row), commit(row)});
  CHECK_FALSE(audit(directory.path()).fault);
  store->checkpoint();
  auto late = ledger::blank_row("b", november);
  append(*store, std::vector{commit(row), create(late)});
  const AuditReport report = audit(directory.path());
  CHECK_FALSE(report.fault);
  CHECK(report.entries == 4);
}

TEST_CASE("a name that two entries have leads to the newer one, and the ledger passes") {
  const TemporaryDirectory directory;
  {
    const auto store = open_sqlite_store(directory.path());
    auto row = ledger::blank_row("a", november);
    append(*store, std::vector{commit_with_key(row, "k"), commit(row), commit_with_key(row, "k"),
                               commit(row)});
    store->checkpoint();
  }
  CHECK_FALSE(audit(directory.path()).fault);

  SECTION("but not to an entry that does not have it") {
    execute(directory.path() / "snapshots.db", "UPDATE names SET sequence = 4");
    check_tells(audit(directory.path()).fault.value().what, {"idempotency key \"k\""});
  }
  SECTION("but not beyond the newest entry") {
    execute(directory.path() / "snapshots.db", "UPDATE names SET sequence = 5");
    check_tells(audit(directory.path()).fault.value().what, {"idempotency key \"k\""});
  }
}

TEST_CASE("a name that no entry has is found, and so are snapshots from the future") {
  const TemporaryDirectory directory;
  make_ledger(directory.path());
  SECTION("a name") {
    execute(directory.path() / "snapshots.db", "INSERT INTO names VALUES ('b', 0, 'extra', 5)");
    check_tells(told_by<StoreError>([&] { audit(directory.path()); }), {"names"});
  }
  SECTION("the future") {
    execute(directory.path() / "snapshots.db", "UPDATE progress SET sequence = 99");
    check_tells(told_by<StoreError>([&] { audit(directory.path()); }), {"99", "journal.db"});
  }
}

TEST_CASE("a pruned ledger passes, and its remaining entries are still checked") {
  const TemporaryDirectory directory;
  make_ledger(directory.path());
  {
    const auto store = open_sqlite_store(directory.path());
    while (store->prune({december, december})) {
    }
  }
  const AuditReport report = audit(directory.path());
  CHECK_FALSE(report.fault);
  CHECK(report.installs == 2);
  CHECK(report.entries == 1);
  CHECK(report.pruned_sequence == 9);
  execute(directory.path() / "journal.db", "UPDATE entries SET tier = 'pro'");
  REQUIRE(audit(directory.path()).fault);
  CHECK(audit(directory.path()).fault->version == 9);
}

TEST_CASE("any change in the journal is reported") {
  struct Case {
    const char* sql;
    std::uint64_t version;
  };
  const auto [sql, version] = GENERATE(values<Case>({
      {"UPDATE entries SET credits = 1 WHERE install_id = 'a' AND version = 2", 2},
      {"UPDATE entries SET at_ms = at_ms + 1 WHERE install_id = 'a' AND version = 1", 1},
      {"UPDATE entries SET backend = 1 WHERE install_id = 'a' AND version = 3", 3},
      {"UPDATE entries SET counter = 0 WHERE install_id = 'a' AND version = 2", 2},
      {"UPDATE entries SET month = 202510 WHERE install_id = 'a' AND version = 7", 7},
      {"UPDATE entries SET tier = 'max' WHERE install_id = 'a' AND version = 2", 2},
      {"UPDATE entries SET kind = 5 WHERE install_id = 'a' AND version = 7", 7},
      {"UPDATE entries SET idempotency_key = 'x' WHERE install_id = 'a' AND version = 3", 3},
      {"UPDATE entries SET answer = '{}' WHERE install_id = 'a' AND version = 3", 3},
      {"UPDATE entries SET request = '{}' WHERE install_id = 'a' AND version = 3", 3},
      {"UPDATE entries SET status = 201 WHERE install_id = 'a' AND version = 3", 3},
      {"UPDATE entries SET expires_at_ms = 0 WHERE install_id = 'a' AND version = 4", 4},
      {"UPDATE entries SET mutation_id = zeroblob(16) WHERE install_id = 'a' AND version = 5", 5},
      {"UPDATE entries SET hash = zeroblob(32) WHERE install_id = 'a' AND version = 5", 5},
      {"UPDATE entries SET hash = NULL WHERE install_id = 'a' AND version = 5", 5},
      {"UPDATE entries SET install_id = 'b' WHERE install_id = 'a' AND version = 5", 5},
      {"UPDATE entries SET version = 99 WHERE install_id = 'a' AND version = 5", 99},
      {"UPDATE entries SET backend = x'' WHERE install_id = 'a' AND version = 5", 5},
      {"UPDATE entries SET status = 0 WHERE install_id = 'a' AND version = 2", 2},
      {"DELETE FROM entries WHERE install_id = 'a' AND version = 5", 6},
      {"DELETE FROM entries WHERE install_id = 'a' AND version = 9", 9},
  }));
  INFO(sql);
  const TemporaryDirectory directory;
  make_ledger(directory.path());
  execute(directory.path() / "journal.db", sql);
  const AuditReport report = audit(directory.path());
  REQUIRE(report.fault);
  CHECK(report.fault->version == version);
  CHECK_FALSE(report.fault->what.empty());
}

TEST_CASE("a row that is not the result of its entries is named, whoever wrote it") {
  const TemporaryDirectory directory;
  const TemporaryDirectory forged;
  make_ledger(directory.path());
  copy_ledger(directory.path(), forged.path());
  {
    const auto store = open_sqlite_store(forged.path());
    auto row = store->load(std::vector<std::string>{"b"}).front().row.value();
    append(*store, std::vector{commit(row, 50)});
    store->checkpoint();
  }
  fs::remove(directory.path() / "snapshots.db");
  fs::copy_file(forged.path() / "snapshots.db", directory.path() / "snapshots.db");
  const AuditReport report = audit(directory.path());
  REQUIRE(report.fault);
  CHECK(report.fault->install_id == "b");
  CHECK(report.fault->version == 2);
  CHECK(report.fault->what.find("lifetime 50") != std::string::npos);
}

TEST_CASE("a row that is missing, and one without entries, are named") {
  const TemporaryDirectory directory;
  make_ledger(directory.path());
  SECTION("missing") {
    execute(directory.path() / "snapshots.db", "DELETE FROM rows WHERE install_id = 'b'");
  }
  SECTION("without entries") {
    execute(directory.path() / "journal.db", "DELETE FROM entries WHERE install_id = 'b'");
  }
  const AuditReport report = audit(directory.path());
  REQUIRE(report.fault);
  CHECK(report.fault->install_id == "b");
  CHECK(report.fault->version == 1);
}

TEST_CASE("a value of another type is named, although it reads the same") {
  const TemporaryDirectory directory;
  make_ledger(directory.path());
  execute(directory.path() / "snapshots.db",
          "UPDATE rows SET monthly_consumed = x'' WHERE install_id = 'b'");
  const AuditReport report = audit(directory.path());
  REQUIRE(report.fault);
  CHECK(report.fault->install_id == "b");
  CHECK(report.fault->version == 1);
}

TEST_CASE("a name that no longer finds its entry is reported") {
  const TemporaryDirectory directory;
  make_ledger(directory.path());
  const auto [sql, version] = GENERATE(table<const char*, std::uint64_t>({
      {"UPDATE names SET name = 'l' WHERE name = 'k'", 3},
      {"UPDATE names SET sequence = sequence + 1 WHERE name = 'k'", 3},
      {"UPDATE names SET kind = 0 WHERE name = 'r'", 7},
      {"UPDATE names SET install_id = 'b' WHERE name = 's'", 8},
      {"DELETE FROM names WHERE name = 't'", 9},
  }));
  INFO(sql);
  execute(directory.path() / "snapshots.db", sql);
  const AuditReport report = audit(directory.path());
  REQUIRE(report.fault);
  CHECK(report.fault->install_id == "a");
  CHECK(report.fault->version == version);
}

TEST_CASE("an entry at a wrong position in the journal is named, even the newest") {
  const TemporaryDirectory directory;
  {
    const auto store = open_sqlite_store(directory.path());
    auto row = ledger::blank_row("a", november);
    append(*store, std::vector{create(row), commit(row)});
  }
  fs::remove(directory.path() / "snapshots.db");
  execute(directory.path() / "journal.db", "UPDATE entries SET sequence = 4 WHERE sequence = 2");
  const AuditReport report = audit(directory.path());
  REQUIRE(report.fault);
  CHECK(report.fault->version == 2);
  CHECK(report.fault->what.find("number 4") != std::string::npos);
}

TEST_CASE("the progress ends at the total") {
  const TemporaryDirectory directory;
  make_ledger(directory.path());
  std::vector<std::uint64_t> told;
  audit(directory.path(), [&told](std::uint64_t done, std::uint64_t total) {
    told = {done, total};
  });
  CHECK(told == std::vector<std::uint64_t>{10, 10});
}

TEST_CASE("a row that does not match its checksum is named with its version") {
  const TemporaryDirectory directory;
  make_ledger(directory.path());
  execute(directory.path() / "snapshots.db",
          "UPDATE rows SET lifetime_consumed = 0 WHERE install_id = 'a'");
  check_tells(told_by<StoreError>([&] { audit(directory.path()); }), {"\"a\", version 9"});
}

TEST_CASE("the check of no ledger, or an old one, says what to do") {
  const TemporaryDirectory directory;
  check_tells(told_by<StoreError>([&] { audit(directory.path()); }),
              {directory.path().string(), "journal.db"});
  copy_ledger(fs::path{CREDITS_TEST_DATA} / "ledger-v1", directory.path());
  check_tells(told_by<StoreError>([&] { audit(directory.path()); }),
              {"journal.db", "schema version 1", "start creditsd on it once"});
}

TEST_CASE("a ledger of schema version 1 is upgraded when it is opened, and nothing is lost") {
  const TemporaryDirectory directory;
  copy_ledger(fs::path{CREDITS_TEST_DATA} / "ledger-v1", directory.path());
  {
    const auto store = open_sqlite_store(directory.path());
    CHECK(store->installs() == 3);
    auto row = store->load(std::vector<std::string>{"a2"}).front().row.value();
    CHECK(row.version == 3);
    CHECK(row.lifetime_consumed == 2);
    CHECK(row.monthly_consumed == 2);
    CHECK(store->entries("a2", 100, 10).size() == 3);
    append(*store, std::vector{commit_with_key(row, "k"), reserve(row, "r")});
    store->checkpoint();
  }
  const AuditReport report = audit(directory.path());
  CHECK_FALSE(report.fault);
  CHECK(report.entries == 11);
  CHECK(report.entries_unhashed == 9);
}

// 1.0.0 did not store which reservations a later debit had overtaken.
TEST_CASE("a row whose reservations are not marked as overtaken passes") {
  const TemporaryDirectory directory;
  auto row = ledger::blank_row("a", november);
  std::vector mutations{reserve(row, "r"), reserve(row, "s"), commit(row, 1, "pro")};
  for (auto& reservation : mutations.back().after.reservations) reservation.is_overtaken = false;
  const auto store = open_sqlite_store(directory.path());
  append(*store, mutations);
  store->checkpoint();
  CHECK_FALSE(audit(directory.path()).fault);
}

TEST_CASE("a row whose reservations are marked as overtaken by nothing does not pass") {
  const TemporaryDirectory directory;
  auto row = ledger::blank_row("a", november);
  std::vector mutations{reserve(row, "r")};
  mutations.back().after.reservations.front().is_overtaken = true;
  const auto store = open_sqlite_store(directory.path());
  append(*store, mutations);
  store->checkpoint();
  CHECK(audit(directory.path()).fault);
}

}  // namespace
}  // namespace credits::persistence
