// The SQLite engine on a disk that is full, fails, is read-only, or disappears.
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "persistence/sqlite/audit.hpp"
#include "persistence/sqlite/store.hpp"
#include "tests/catch.hpp"
#include "tests/ledger_fixtures.hpp"
#include "tests/persistence/failing_sync.hpp"
#include "tests/persistence/refusing_disk.hpp"
#include "tests/store_errors.hpp"
#include "tests/temporary_directory.hpp"
#include "tests/told.hpp"

namespace credits::persistence {
namespace {

using namespace credits::tests;
namespace fs = std::filesystem;

ledger::Row row_of(const std::string& id) { return ledger::blank_row(id, november); }

std::optional<ledger::Row> load(Store& store, const std::string& id) {
  return store.load(std::vector{id}).front().row;
}

TEST_CASE("a lack of room, whatever the system calls it, does not break the journal") {
  const int error = GENERATE(ENOSPC, EDQUOT, EFBIG);
  INFO(std::strerror(error));
  const TemporaryDirectory directory;
  auto a = row_of("a");
  const auto first = create(a);
  const auto second = commit(a);
  {
    const auto store = open_sqlite_store(directory.path());
    append(*store, std::vector{first});
    {
      const RefusingDisk full{"journal.db", error};
      for (int i = 0; i < 2; ++i) {
        const auto told =
            told_as(StoreErrorKind::full, [&] { append(*store, std::vector{second}); });
        check_tells(told, {"journal.db", "make room"});
      }
      check_tells(told_as(StoreErrorKind::full, [&] { store->probe_write(); }),
                  {"journal.db", "make room"});
      CHECK(load(*store, "a") == first.after);
    }
    store->probe_write();
    CHECK(append(*store, std::vector{second}).front() == Outcome::stored);
  }
  CHECK_FALSE(audit(directory.path()).fault);
  CHECK(load(*open_sqlite_store(directory.path()), "a") == a);
}

TEST_CASE("a checkpoint without room says so, and works once there is some") {
  const int error = GENERATE(ENOSPC, EDQUOT, EFBIG);
  const TemporaryDirectory directory;
  auto a = row_of("a");
  const auto store = open_sqlite_store(directory.path());
  append(*store, std::vector{create(a)});
  {
    const RefusingDisk full{"snapshots.db", error};
    check_tells(told_as(StoreErrorKind::full, [&] { store->checkpoint(); }),
                {"snapshots.db", "make room"});
  }
  store->checkpoint();
  CHECK(store->pending_rows() == 0);
}

std::vector<ledger::Row> rows_of(RowCursor& cursor) {
  std::vector<ledger::Row> rows;
  while (auto row = cursor.next()) rows.push_back(*std::move(row));
  return rows;
}

TEST_CASE("pages and snapshots are complete, even while checkpoints fail") {
  const TemporaryDirectory directory;
  const auto store = open_sqlite_store(directory.path());
  std::vector<ledger::Row> rows;
  for (int n = 0; n < 60; ++n) rows.push_back(row_of("i" + std::to_string(100 + n * 7 % 60)));
  std::vector<Mutation> mutations;
  for (int n = 0; n < 40; ++n) mutations.push_back(create(rows[n]));
  for (int n = 0; n < 20; ++n) mutations.push_back(commit(rows[n], 1, "pro"));
  append(*store, mutations);
  store->checkpoint();
  std::vector<ListQuery> queries;
  for (const std::size_t limit : {1, 3, 10, 100}) {
    for (const std::string after : {"", "i11", "i130", "i999"}) {
      for (const std::string prefix : {"", "i1", "i14", "x"}) {
        queries.push_back({after, prefix, std::nullopt, limit});
        queries.push_back({after, prefix, "pro", limit});
        queries.push_back({after, prefix, "core", limit});
      }
    }
  }
  std::vector<std::vector<ledger::Row>> pages;
  std::vector<ledger::Row> snapshot;
  {
    const RefusingDisk full{"snapshots.db", ENOSPC};
    mutations.clear();
    for (int n = 10; n < 30; ++n) mutations.push_back(commit(rows[n], 1, n % 2 ? "core" : "pro"));
    for (int n = 40; n < 60; ++n) mutations.push_back(commit(rows[n], 1, n % 2 ? "core" : "pro"));
    append(*store, mutations);
    CHECK_THROWS_AS(store->checkpoint(), StoreError);
    for (const ListQuery& query : queries) pages.push_back(store->list(query));
    snapshot = rows_of(*store->snapshot());
  }
  store->checkpoint();
  CHECK(store->pending_rows() == 0);
  for (std::size_t i = 0; i < queries.size(); ++i) {
    INFO(queries[i].after << " " << queries[i].prefix << " " << queries[i].limit);
    CHECK(pages[i] == store->list(queries[i]));
  }
  CHECK(snapshot == rows_of(*store->snapshot()));
  CHECK(snapshot.size() == 60);
}

// SQLite grows the log's index after it has written and synced a transaction.
TEST_CASE("a lack of room for the log's index does not break the journal") {
  const TemporaryDirectory directory;
  auto a = row_of("a");
  const auto large_commit = [&](ledger::Row& row) {
    ledger::Entry entry =
        ledger::commit_entry(row, {ledger::Backend::gemini, "core", 1}, quota, november);
    entry.idempotency_key = "k" + std::to_string(row.version);
    entry.receipt = ledger::Receipt{"request", 200, std::string(1'000'000, 'x')};
    return mutate(row, std::move(entry));
  };
  {
    const auto store = open_sqlite_store(directory.path());
    bool has_failed = false;
    {
      const RefusingDisk full{"journal.db-shm", ENOSPC};
      for (int i = 0; i < 40 && !has_failed; ++i) {
        auto after = a;
        const auto mutation = large_commit(after);
        try {
          append(*store, std::vector{mutation});
          a = after;
        } catch (const StoreError& error) {
          has_failed = true;
          CHECK(error.kind() == StoreErrorKind::full);
          check_tells(error.what(), {"journal.db", "make room"});
        }
      }
    }
    CHECK(has_failed);
    CHECK(append(*store, std::vector{commit(a)}).front() == Outcome::stored);
  }
  CHECK_FALSE(audit(directory.path()).fault);
  CHECK(load(*open_sqlite_store(directory.path()), "a") == a);
}

TEST_CASE("after a failed write the journal goes on, as only a failed sync loses data") {
  const TemporaryDirectory directory;
  auto a = row_of("a");
  const auto first = create(a);
  const auto second = commit(a);
  {
    const auto store = open_sqlite_store(directory.path());
    append(*store, std::vector{first});
    {
      const RefusingDisk failing{"journal.db", EIO};
      check_tells(
          told_as(StoreErrorKind::unavailable, [&] { append(*store, std::vector{second}); }),
          {"journal.db", "Input/output error", "see to the disk"});
    }
    CHECK(append(*store, std::vector{second}).front() == Outcome::stored);
  }
  CHECK_FALSE(audit(directory.path()).fault);
}

TEST_CASE("a probe of the journal is a synced write that changes nothing") {
  const TemporaryDirectory directory;
  auto a = row_of("a");
  {
    const auto store = open_sqlite_store(directory.path());
    append(*store, std::vector{create(a)});
    const auto log = directory.path() / "journal.db-wal";
    const auto size = fs::file_size(log);
    store->probe_write();
    CHECK(fs::file_size(log) > size);
    const FailingSync broken_disk;
    CHECK(kind_thrown_by([&] { store->probe_write(); }) == StoreErrorKind::broken);
    CHECK(kind_thrown_by([&] { append(*store, std::vector{commit(a)}); }) ==
          StoreErrorKind::broken);
  }
  CHECK_FALSE(audit(directory.path()).fault);
}

TEST_CASE("a read-only file is refused at the start, with advice") {
  const TemporaryDirectory directory;
  const bool is_new = GENERATE(false, true);
  if (!is_new) open_sqlite_store(directory.path());
  const std::string name =
      GENERATE("journal.db", "journal.db-wal", "snapshots.db", "snapshots.db-wal");
  INFO(name << (is_new ? ", new" : ", there"));
  const ReadOnlyFile read_only{name};
  check_tells(told_by<StoreError>([&] { open_sqlite_store(directory.path()); }),
              {directory.path().string(), "writable for this user"});
}

TEST_CASE("a ledger on a full disk is opened, and its rows can be read") {
  const TemporaryDirectory directory;
  auto a = row_of("a");
  append(*open_sqlite_store(directory.path()), std::vector{create(a)});
  const RefusingDisk full{".db-wal", GENERATE(ENOSPC, EDQUOT)};
  const auto store = open_sqlite_store(directory.path());
  CHECK(load(*store, "a") == a);
  check_tells(told_as(StoreErrorKind::full, [&] { store->probe_write(); }),
              {"journal.db", "make room"});
}

// Copies the files of an open ledger as a crash at this moment would leave them.
void copy_as_after_a_crash(const fs::path& from, const fs::path& to) {
  fs::create_directories(to);
  for (const auto& file : fs::directory_iterator{from}) {
    if (file.path().extension() != ".db-shm") fs::copy_file(file, to / file.path().filename());
  }
}

TEST_CASE("a write to a removed file is not acknowledged") {
  const TemporaryDirectory directory;
  auto a = row_of("a");
  const auto store = open_sqlite_store(directory.path());
  append(*store, std::vector{create(a)});
  store->ping();
  const std::string gone = GENERATE("journal.db", "journal.db-wal", "");
  if (gone.empty()) {
    fs::remove_all(directory.path());
  } else {
    fs::remove(directory.path() / gone);
  }
  const auto told =
      told_as(StoreErrorKind::broken, [&] { append(*store, std::vector{commit(a)}); });
  check_tells(told, {directory.path().string(), gone, "was removed", "start again"});
  CHECK(told_as(StoreErrorKind::broken, [&] { store->ping(); }) == told);
  CHECK(told_as(StoreErrorKind::broken, [&] { store->probe_write(); }) == told);
}

TEST_CASE("a file that was removed, moved or replaced is noticed, and ends all writes") {
  const TemporaryDirectory parent;
  const auto directory = parent.path() / "data";
  auto a = row_of("a");
  const auto store = open_sqlite_store(directory);
  append(*store, std::vector{create(a)});
  store->ping();
  const std::string file =
      GENERATE("journal.db", "journal.db-wal", "journal.db-shm", "snapshots.db", "snapshots.db-wal",
               "snapshots.db-shm", "lock", "");
  const bool is_replaced = GENERATE(false, true);
  INFO(file << (is_replaced ? " replaced" : " moved away"));
  const auto path = file.empty() ? directory : directory / file;
  const auto away = parent.path() / "away";
  fs::rename(path, away);
  if (is_replaced) fs::copy(away, path, fs::copy_options::recursive);
  const auto told = told_as(StoreErrorKind::broken, [&] { store->ping(); });
  check_tells(told, {path.string(), is_replaced ? "was replaced" : "moved away", "start again"});
  CHECK(told_as(StoreErrorKind::broken, [&] { append(*store, std::vector{commit(a)}); }) == told);
  // A file that was moved back is not trusted either: others may have written to it.
  fs::remove_all(path);
  fs::rename(away, path);
  CHECK(told_as(StoreErrorKind::broken, [&] { store->ping(); }) == told);
  CHECK(load(*store, "a").value().version == 1);
}

TEST_CASE("a ledger that replaces an open one keeps its logs when that one is closed") {
  const TemporaryDirectory parent;
  const auto directory = parent.path() / "data";
  auto old = open_sqlite_store(directory);
  fs::rename(directory, parent.path() / "away");
  auto a = row_of("a");
  const auto store = open_sqlite_store(directory);
  append(*store, std::vector{create(a)});
  old.reset();
  append(*store, std::vector{commit(a)});
  copy_as_after_a_crash(directory, parent.path() / "crashed");
  CHECK(load(*open_sqlite_store(parent.path() / "crashed"), "a") == a);
}

}  // namespace
}  // namespace credits::persistence
