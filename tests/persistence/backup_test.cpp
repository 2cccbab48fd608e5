// A backup is the ledger as of one moment, with everything that it remembers, whatever is written
// meanwhile or was pruned before.
#include "persistence/sqlite/backup.hpp"

#include <SQLiteCpp/SQLiteCpp.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "persistence/sqlite/audit.hpp"
#include "persistence/sqlite/store.hpp"
#include "tests/catch.hpp"
#include "tests/ledger_fixtures.hpp"
#include "tests/temporary_directory.hpp"
#include "tests/told.hpp"

namespace credits::persistence {
namespace {

using namespace credits::tests;
namespace fs = std::filesystem;

const auto nobody_looks = [](std::uint64_t, std::uint64_t) {};

ledger::Row load(Store& store, const std::string& id) {
  return store.load(std::vector<std::string>{id}).front().row.value();
}

// Restores a backup of the ledger in `from` as a new ledger.
void restore(const fs::path& from, const fs::path& to) {
  backup(from, to / "journal.db", nobody_looks);
  const AuditReport report = audit(to);
  CHECK_FALSE(report.fault);
  CHECK_FALSE(report.has_snapshots);
}

TEST_CASE("a backup has rows, reservations, names and entries") {
  const TemporaryDirectory directory;
  const TemporaryDirectory restored;
  const auto store = open_sqlite_store(directory.path());
  auto a = ledger::blank_row("a", november);
  std::vector mutations{create(a), commit(a, 2, "pro"), commit_with_key(a, "k"), reserve(a, "r", 5),
                        reserve(a, "s", 6)};
  mutations.push_back(settle(a, "r", 3));
  append(*store, mutations);

  SECTION("with nothing pruned") {}
  SECTION("with the oldest entries pruned") {
    store->checkpoint();
    while (store->prune({november - std::chrono::hours{1}, december})) {
    }
  }
  SECTION("with all entries pruned") {
    store->checkpoint();
    while (store->prune({december, december})) {
    }
  }
  const bool is_pruned = !store->recall("a", std::vector{key("k")}).front();

  restore(directory.path(), restored.path());
  const auto copy = open_sqlite_store(restored.path());
  CHECK(copy->installs() == 1);
  CHECK(load(*copy, "a") == a);
  CHECK(copy->entries("a", 100, 100) == store->entries("a", 100, 100));
  if (!is_pruned) {
    const std::vector replay_keys{key("k"), ended("r")};
    CHECK(copy->recall("a", replay_keys) == store->recall("a", replay_keys));
  }
  // The restored ledger continues.
  auto row = load(*copy, "a");
  CHECK(append(*copy, std::vector{settle(row, "s", 1)}) == std::vector{Outcome::stored});
  copy->checkpoint();
  CHECK_FALSE(audit(restored.path()).fault);
}

TEST_CASE("a backup under writes has all that was stored before, and then a prefix") {
  const TemporaryDirectory directory;
  const TemporaryDirectory restored;
  const auto store = open_sqlite_store(directory.path());
  std::vector<ledger::Row> rows;
  for (int n = 0; n < 100; ++n) {
    rows.push_back(ledger::blank_row("install-" + std::to_string(n), november));
  }
  std::atomic<std::uint64_t> versions_stored = 0;  // of each install
  std::atomic<bool> is_done = false;
  std::thread writer{[&] {
    while (!is_done) {
      std::vector<Mutation> round;
      for (ledger::Row& row : rows) round.push_back(commit(row));
      append(*store, round);
      ++versions_stored;
      if (versions_stored % 64 == 0) store->checkpoint();
    }
  }};
  while (versions_stored < 200) std::this_thread::yield();
  const std::uint64_t stored_before = versions_stored;
  std::uint64_t steps = 0;
  backup(directory.path(), restored.path() / "journal.db",
         [&](std::uint64_t done, std::uint64_t total) {
           ++steps;
           CHECK(done <= total);
           const std::uint64_t seen = versions_stored;
           while (versions_stored < seen + 5) std::this_thread::yield();
         });
  is_done = true;
  writer.join();

  CHECK(steps > 1);
  CHECK_FALSE(audit(restored.path()).fault);
  const auto copy = open_sqlite_store(restored.path());
  std::vector<std::uint64_t> versions;
  for (const ledger::Row& row : rows) {
    const ledger::Row restored_row = load(*copy, row.install_id);
    versions.push_back(restored_row.version);
    CHECK(restored_row.version >= stored_before);
    CHECK(restored_row.version < row.version);
    CHECK(copy->entries(row.install_id, restored_row.version + 1, 10) ==
          store->entries(row.install_id, restored_row.version + 1, 10));
  }
  CHECK(versions == std::vector<std::uint64_t>(rows.size(), versions.front()));
}

TEST_CASE("a backup of many pages is made in steps, and writes do not restart it") {
  const TemporaryDirectory directory;
  const TemporaryDirectory restored;
  const auto store = open_sqlite_store(directory.path());
  const std::string padding(64, 'x');
  for (int n = 0; n < 20; ++n) {
    std::vector<Mutation> batch;
    for (int m = 0; m < 1'000; ++m) {
      auto row = ledger::blank_row(padding + std::to_string(1'000 * n + m), november);
      batch.push_back(create(row));
    }
    append(*store, batch);
  }
  auto late = ledger::blank_row("late", november);
  std::vector<std::uint64_t> done;
  backup(directory.path(), restored.path() / "journal.db", [&](std::uint64_t pages, std::uint64_t) {
    done.push_back(pages);
    append(*store, std::vector{commit(late)});
  });
  CHECK(done.size() > 1);
  CHECK(std::is_sorted(done.begin(), done.end()));
  const auto copy = open_sqlite_store(restored.path());
  CHECK(copy->installs() == 20'000);
  CHECK_FALSE(copy->load(std::vector<std::string>{"late"}).front().row);
}

TEST_CASE("a directory without a ledger cannot be backed up, and the error says so") {
  const TemporaryDirectory directory;
  const TemporaryDirectory to;
  const auto file = to.path() / "backup.db";
  check_tells(told_by<StoreError>([&] { backup(directory.path(), file, nobody_looks); }),
              {directory.path().string(), "journal.db"});
  for (const char* name : {"journal.db", "snapshots.db"}) {
    fs::copy_file(fs::path{CREDITS_TEST_DATA} / "ledger-v1" / name, directory.path() / name);
  }
  check_tells(told_by<StoreError>([&] { backup(directory.path(), file, nobody_looks); }),
              {"schema version 1"});
  CHECK_FALSE(fs::exists(file));
}

}  // namespace
}  // namespace credits::persistence
