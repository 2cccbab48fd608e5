// The SQLite engine's promises beyond the suite for all engines: it recovers from a crash, and
// refuses files that it cannot trust.
#include <SQLiteCpp/SQLiteCpp.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "persistence/sqlite/audit.hpp"
#include "persistence/sqlite/store.hpp"
#include "tests/catch.hpp"
#include "tests/ledger_fixtures.hpp"
#include "tests/persistence/failing_sync.hpp"
#include "tests/store_errors.hpp"
#include "tests/temporary_directory.hpp"
#include "tests/told.hpp"

namespace credits::persistence {
namespace {

using namespace credits::tests;
namespace fs = std::filesystem;

constexpr auto any_version = std::numeric_limits<std::int64_t>::max();

ledger::Row row_of(const std::string& id) { return ledger::blank_row(id, november); }

std::optional<ledger::Row> load(Store& store, const std::string& id) {
  return store.load(std::vector{id}).front().row;
}

// Copies the files of an open ledger as a crash at this moment would leave them.
void copy_as_after_a_crash(const fs::path& from, const fs::path& to) {
  fs::create_directories(to);
  for (const auto& file : fs::directory_iterator{from}) {
    if (file.path().extension() != ".db-shm") {
      fs::copy_file(file, to / file.path().filename(), fs::copy_options::overwrite_existing);
    }
  }
}

std::string refusal_of(const fs::path& directory) {
  return told_by<StoreError>([&] { open_sqlite_store(directory); });
}

void execute(const fs::path& file, const std::string& sql) {
  SQLite::Database database{file.string(), SQLite::OPEN_READWRITE};
  database.exec(sql);
}

// A ledger of the install `a` at version 3, closed normally.
ledger::Row make_ledger(const fs::path& directory, const std::string& id = "a") {
  auto row = row_of(id);
  const auto store = open_sqlite_store(directory);
  append(*store, std::vector{create(row), commit(row), commit(row, 2, "pro")});
  store->checkpoint();
  return row;
}

TEST_CASE("a ledger that was closed reads the same when it is opened again") {
  const TemporaryDirectory directory;
  const bool checkpointed = GENERATE(false, true);
  auto a = row_of("a");
  auto b = row_of("b");
  {
    const auto store = open_sqlite_store(directory.path());
    append(*store, std::vector{create(a), commit(a), create(b)});
    if (checkpointed) store->checkpoint();
  }
  const auto store = open_sqlite_store(directory.path());
  CHECK(load(*store, "a") == a);
  CHECK(load(*store, "b") == b);
  CHECK(store->installs() == 2);
  CHECK(store->entries("a", any_version, 10).size() == 2);
}

TEST_CASE("acknowledged appends survive a crash, whatever the snapshots lack") {
  const TemporaryDirectory directory;
  const fs::path alive = directory.path() / "alive";
  const fs::path crashed = directory.path() / "crashed";
  auto a = row_of("a");
  auto b = row_of("b");
  const auto store = open_sqlite_store(alive);
  append(*store, std::vector{create(a), create(b)});
  store->checkpoint();
  append(*store, std::vector{commit(a), commit(a, 5, "pro", december)});
  auto c = row_of("c");
  append(*store, std::vector{create(c)});
  copy_as_after_a_crash(alive, crashed);

  const auto reopened = open_sqlite_store(crashed);
  for (const auto& row : {a, b, c}) CHECK(load(*reopened, row.install_id) == row);
  CHECK(reopened->installs() == 3);
  CHECK(append(*reopened, std::vector{commit(a)}).front() == Outcome::stored);
  CHECK(reopened->entries("a", any_version, 10).size() == a.version);
}

TEST_CASE("an import survives a crash") {
  const TemporaryDirectory directory;
  auto old = row_of("a");
  old.tier_snapshot = "retired";
  old.lifetime_consumed = 7;
  old.last_active_at = november - std::chrono::hours{1};
  auto row = row_of("a");
  const auto store = open_sqlite_store(directory.path() / "alive");
  append(*store, std::vector{mutate(row, ledger::import_entry(old, november))});
  copy_as_after_a_crash(directory.path() / "alive", directory.path() / "crashed");
  CHECK(load(*open_sqlite_store(directory.path() / "crashed"), "a") == row);
}

TEST_CASE("lost snapshots are created again from the journal") {
  const TemporaryDirectory directory;
  const auto row = make_ledger(directory.path());
  fs::remove(directory.path() / "snapshots.db");
  const auto store = open_sqlite_store(directory.path());
  CHECK(load(*store, "a") == row);
  CHECK(store->installs() == 1);
}

TEST_CASE("names survive a crash, whatever the snapshots lack") {
  const TemporaryDirectory directory;
  const fs::path alive = directory.path() / "alive";
  const fs::path crashed = directory.path() / "crashed";
  auto row = row_of("a");
  const auto store = open_sqlite_store(alive);
  const auto first = commit_with_key(row, "k");
  append(*store, std::vector{first, reserve(row, "r")});
  store->checkpoint();
  const auto second = settle(row, "r", 1);
  append(*store, std::vector{second});
  copy_as_after_a_crash(alive, crashed);

  const auto reopened = open_sqlite_store(crashed);
  CHECK(reopened->recall("a", std::vector{key("k"), ended("r")}) ==
        std::vector<std::optional<ledger::Entry>>{first.entries.front(), second.entries.front()});
  CHECK(reopened->replay_keys("a", 2)->size() == 2);
}

TEST_CASE("a checkpoint that fails keeps the names for the next one") {
  const TemporaryDirectory directory;
  const auto store = open_sqlite_store(directory.path());
  auto row = row_of("a");
  append(*store, std::vector{commit_with_key(row, "k"), commit_with_key(row, "l")});
  execute(directory.path() / "snapshots.db", "ALTER TABLE names RENAME TO hidden");
  CHECK_THROWS_AS(store->checkpoint(), StoreError);
  execute(directory.path() / "snapshots.db", "ALTER TABLE hidden RENAME TO names");
  const auto again = commit_with_key(row, "k");
  append(*store, std::vector{again});
  CHECK(store->recall("a", std::vector{key("k")}).front() == again.entries.front());
  store->checkpoint();
  CHECK(store->recall("a", std::vector{key("k")}).front() == again.entries.front());
  CHECK(store->recall("a", std::vector{key("l")}).front());
  CHECK(load(*store, "a") == row);
}

TEST_CASE("after pruning, rows that the snapshots lack are computed from baselines and entries") {
  const TemporaryDirectory directory;
  const fs::path alive = directory.path() / "alive";
  const fs::path crashed = directory.path() / "crashed";
  const auto store = open_sqlite_store(alive);
  auto a = row_of("a");
  auto b = row_of("b");
  append(*store, std::vector{create(a), create(b)});
  store->checkpoint();
  copy_as_after_a_crash(alive, directory.path() / "before");
  append(*store, std::vector{commit(a), reserve(a, "r"), commit(b)});
  while (store->prune({december, november})) {
  }
  append(*store, std::vector{commit(a, 3, "core", december)});
  copy_as_after_a_crash(alive, crashed);
  for (const char* file : {"snapshots.db", "snapshots.db-wal"}) fs::remove(crashed / file);
  if (GENERATE(false, true)) {
    fs::copy_file(directory.path() / "before" / "snapshots.db", crashed / "snapshots.db");
    fs::copy_file(directory.path() / "before" / "snapshots.db-wal", crashed / "snapshots.db-wal");
  }

  const auto reopened = open_sqlite_store(crashed);
  CHECK(load(*reopened, "a") == a);
  CHECK(load(*reopened, "b") == b);
  CHECK(reopened->installs() == 2);
  CHECK(append(*reopened, std::vector{settle(a, "r", 1), commit(b)}) ==
        std::vector{Outcome::stored, Outcome::stored});
}

TEST_CASE("entries that pruning has passed over survive a crash, whatever the snapshots lack") {
  const TemporaryDirectory directory;
  const fs::path alive = directory.path() / "alive";
  const fs::path crashed = directory.path() / "crashed";
  const auto now = november + std::chrono::hours{1};
  std::vector<ledger::Row> rows;
  for (int n = 0; n < 40; ++n) rows.push_back(row_of("install-" + std::to_string(n)));
  const auto store = open_sqlite_store(alive);
  copy_as_after_a_crash(alive, directory.path() / "before");
  std::vector<Mutation> mutations;
  for (ledger::Row& row : rows) mutations.push_back(commit(row));
  for (std::size_t n = 0; n < rows.size(); n += 2) {
    mutations.push_back(commit_with_key(rows[n], "k"));
    mutations.push_back(commit(rows[n]));
  }
  for (ledger::Row& row : rows) mutations.push_back(commit(row));
  append(*store, mutations);
  if (GENERATE(false, true)) store->checkpoint();
  while (store->prune({now, november})) {
  }
  CHECK(store->entries("install-0", any_version, 10).size() == 3);
  CHECK(store->entries("install-1", any_version, 10).empty());
  copy_as_after_a_crash(alive, crashed);
  CHECK_FALSE(audit(alive).fault);
  const bool has_lost_snapshots = GENERATE(false, true);
  if (has_lost_snapshots) {
    for (const char* file : {"snapshots.db", "snapshots.db-wal"}) {
      fs::copy_file(directory.path() / "before" / file, crashed / file,
                    fs::copy_options::overwrite_existing);
    }
  }
  SqliteOptions options;
  options.overlay_rows_max = GENERATE(3, 400'000);  // with checkpoints on the way, or without
  {
    const auto reopened = open_sqlite_store(crashed, options);
    for (ledger::Row& row : rows) CHECK(load(*reopened, row.install_id) == row);
    CHECK(reopened->installs() == rows.size());
    CHECK(reopened->recall("install-0", std::vector{key("k")}).front());
    CHECK(append(*reopened, std::vector{commit(rows[0])}).front() == Outcome::stored);
    reopened->checkpoint();
    while (reopened->prune({now, now})) {
    }
    CHECK(reopened->entries("install-0", any_version, 10).empty());
  }
  CHECK_FALSE(audit(crashed).fault);
}

TEST_CASE("more baselines than fit in memory are restored, and writes go on") {
  const TemporaryDirectory directory;
  std::vector<Mutation> mutations;
  std::vector<ledger::Row> rows;
  for (int i = 0; i < 25; ++i) {
    rows.push_back(row_of("install-" + std::to_string(i)));
    mutations.push_back(create(rows.back()));
  }
  {
    const auto store = open_sqlite_store(directory.path());
    append(*store, mutations);
    while (store->prune({december, december})) {
    }
  }
  fs::remove(directory.path() / "snapshots.db");
  const auto store = open_sqlite_store(
      directory.path(), {.overlay_rows_max = 5, .overlay_wait_max = std::chrono::milliseconds{1}});
  CHECK(store->installs() == 25);
  CHECK(append(*store, std::vector{commit(rows.front())}).front() == Outcome::stored);
  CHECK(store->list({}).size() == 25);
}

TEST_CASE("a data directory is created with its parents, with or without a slash at its end") {
  const TemporaryDirectory directory;
  const std::string deep = (directory.path() / "a" / "b").string() + GENERATE("", "/");
  CHECK(open_sqlite_store(deep));
}

TEST_CASE("a file that can no longer be opened is named") {
  const TemporaryDirectory directory;
  make_ledger(directory.path());
  const auto store = open_sqlite_store(directory.path());
  fs::rename(directory.path() / "snapshots.db", directory.path() / "away.db");
  check_tells(told_by<StoreError>([&] { store->snapshot(); }), {"snapshots.db", "unable to open"});
}

TEST_CASE("a journal whose entries are all pruned goes on where it was") {
  const TemporaryDirectory directory;
  auto row = make_ledger(directory.path());
  {
    const auto store = open_sqlite_store(directory.path());
    while (store->prune({december, december})) {
    }
    CHECK(store->entries("a", any_version, 10).empty());
  }
  const auto store = open_sqlite_store(directory.path());
  CHECK(append(*store, std::vector{commit(row)}).front() == Outcome::stored);
  CHECK(store->entries("a", any_version, 10).size() == 1);
}

TEST_CASE("a replay of more rows than fit in memory makes checkpoints on the way") {
  const TemporaryDirectory directory;
  std::vector<Mutation> mutations;
  for (int i = 0; i < 25; ++i) {
    auto row = row_of("install-" + std::to_string(i));
    mutations.push_back(create(row));
    mutations.push_back(commit(row));
  }
  append(*open_sqlite_store(directory.path()), mutations);
  const auto store = open_sqlite_store(directory.path(), {.overlay_rows_max = 10});
  CHECK(store->installs() == 25);
  CHECK(store->list({}).size() == 25);
}

// Creates a ledger of 25 installs and 50 entries that are not in the snapshots. Returns its rows.
std::vector<ledger::Row> make_ledger_to_replay(const fs::path& directory) {
  std::vector<Mutation> mutations;
  std::vector<ledger::Row> rows;
  for (int i = 0; i < 25; ++i) {
    rows.push_back(row_of("install-" + std::to_string(100 + i)));
    mutations.push_back(create(rows.back()));
    mutations.push_back(commit_with_key(rows.back(), "k"));
  }
  append(*open_sqlite_store(directory), mutations);
  return rows;
}

// Reports and saves each replayed entry.
SqliteOptions replay_step_by_step(std::function<void(std::uint64_t, std::uint64_t)> report) {
  SqliteOptions options;
  options.report_replay = std::move(report);
  options.replay_report_interval = std::chrono::milliseconds{0};
  options.replay_checkpoint_interval = std::chrono::milliseconds{0};
  return options;
}

TEST_CASE("a start after an interrupted replay continues from there") {
  struct Ended {};
  const TemporaryDirectory directory;
  const auto rows = make_ledger_to_replay(directory.path());
  const bool is_pruned = GENERATE(false, true);
  if (is_pruned) {
    {
      const auto store = open_sqlite_store(directory.path());
      store->checkpoint();
      while (store->prune({december, december})) {
      }
    }
    fs::remove(directory.path() / "snapshots.db");
    auto row = rows.front();
    const auto store = open_sqlite_store(directory.path());
    append(*store, std::vector{commit(row), commit(row)});
  }
  std::uint64_t left = is_pruned ? 2 : 50;
  for (const std::uint64_t steps : {1, 20, 29, 50}) {
    std::uint64_t reports = 0;
    const auto options = replay_step_by_step([&](std::uint64_t replayed, std::uint64_t total) {
      CHECK(total == left);
      CHECK(replayed <= total);
      if (replayed > 0 && ++reports == steps) {
        left -= replayed;
        throw Ended{};
      }
    });
    try {
      open_sqlite_store(directory.path(), options);
      CHECK(left <= reports);
      break;
    } catch (const Ended&) {
    }
  }
  const auto store = open_sqlite_store(directory.path());
  CHECK(store->installs() == 25);
  CHECK(load(*store, rows.back().install_id) == rows.back());
  if (!is_pruned) CHECK(store->recall(rows.back().install_id, std::vector{key("k")}).front());
  store->checkpoint();
  CHECK_FALSE(audit(directory.path()).fault);
}

TEST_CASE("a replay skips an install whose row is damaged, and names it") {
  const TemporaryDirectory directory;
  auto a = make_ledger(directory.path(), "a");
  auto b = row_of("b");
  append(*open_sqlite_store(directory.path()),
         std::vector{commit(a), create(b), commit(a), commit(b)});
  execute(directory.path() / "snapshots.db", "UPDATE rows SET lifetime_consumed = 0");
  std::vector<std::string> told;
  auto options = replay_step_by_step({});
  options.report = [&](std::string_view name, const std::string& text) {
    told.push_back(std::string{name} + ": " + text);
  };
  for (int round = 0; round < 2; ++round) {
    const auto store = open_sqlite_store(directory.path(), options);
    CHECK(load(*store, "b") == b);
    CHECK(kind_thrown_by([&] { load(*store, "a"); }) == StoreErrorKind::damaged);
    CHECK(append(*store, std::vector{commit(b)}) == std::vector{Outcome::stored});
    store->checkpoint();
  }
  REQUIRE(told.size() == 1);
  check_tells(told.front(), {"install_damaged: ", "install \"a\"", "backup"});
}

TEST_CASE(
    "append() waits for snapshots that lag too far, and fails rather than grow without bound") {
  const TemporaryDirectory directory;
  const auto store = open_sqlite_store(
      directory.path(), {.overlay_rows_max = 2, .overlay_wait_max = std::chrono::milliseconds{10}});
  auto a = row_of("a");
  auto b = row_of("b");
  auto c = row_of("c");
  append(*store, std::vector{create(a), create(b)});
  const auto creation = create(c);
  check_tells(told_by<StoreError>([&] { append(*store, std::vector{creation}); }),
              {"lags too far"});
  CHECK_FALSE(load(*store, "c"));
  store->checkpoint();
  CHECK(append(*store, std::vector{creation}).front() == Outcome::stored);
}

TEST_CASE("a data directory has one owner, and a second one learns who that is") {
  const TemporaryDirectory directory;
  {
    const auto owner = open_sqlite_store(directory.path());
    check_tells(refusal_of(directory.path()),
                {"in use by the process with pid " + std::to_string(::getpid()),
                 directory.path().string()});
  }
  CHECK(open_sqlite_store(directory.path()));
}

TEST_CASE("after a failed sync the journal accepts nothing until it is opened again") {
  const TemporaryDirectory directory;
  auto a = row_of("a");
  const auto first = create(a);
  const auto second = commit(a);
  const auto third = commit(a);
  {
    const auto store = open_sqlite_store(directory.path());
    append(*store, std::vector{first});
    {
      const FailingSync broken_disk;
      CHECK(kind_thrown_by([&] { append(*store, std::vector{second}); }) == StoreErrorKind::broken);
    }
    check_tells(told_as(StoreErrorKind::broken, [&] { append(*store, std::vector{second}); }),
                {"journal.db", "a sync has failed", "start again"});
  }
  // It is unknown whether the second mutation was stored; nothing may rely on it.
  const auto store = open_sqlite_store(directory.path());
  const auto version = load(*store, "a").value().version;
  CHECK((version == 1 || version == 2));
  const auto& next = version == 1 ? second : third;
  CHECK(append(*store, std::vector{next}).front() == Outcome::stored);
}

TEST_CASE("a data directory is created for its owner alone") {
  const TemporaryDirectory parent;
  const fs::path directory = parent.path() / "a" / "b";
  open_sqlite_store(directory);
  CHECK(fs::status(directory).permissions() == fs::perms::owner_all);
}

TEST_CASE(
    "files that cannot be trusted are refused by name, with what to do, and stay as they are") {
  struct Case {
    const char* name;
    std::function<void(const fs::path&)> damage;
    std::vector<std::string> told;
  };
  const auto damaged = GENERATE(values<Case>({
      {"a journal of a newer schema",
       [](const fs::path& dir) { execute(dir / "journal.db", "PRAGMA user_version = 3"); },
       {"journal.db has schema version 3", "knows up to 2", "newer creditsd"}},
      {"snapshots of a newer schema",
       [](const fs::path& dir) { execute(dir / "snapshots.db", "PRAGMA user_version = 3"); },
       {"snapshots.db has schema version 3", "newer creditsd"}},
      {"a database of something else",
       [](const fs::path& dir) {
         fs::remove(dir / "journal.db");
         execute(dir / "snapshots.db", "PRAGMA user_version = 1");
         SQLite::Database{(dir / "journal.db").string(),
                          SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE}
             .exec("CREATE TABLE songs (title TEXT)");
       },
       {"journal.db is not a file of a ledger", "move it away"}},
      {"a journal that is no database",
       [](const fs::path& dir) { std::ofstream{dir / "journal.db"} << std::string(4096, 'x'); },
       {"journal.db", "not a database", "restore it from a backup"}},
      {"a missing journal",
       [](const fs::path& dir) { fs::remove(dir / "journal.db"); },
       {"journal.db is missing", "restore both from a backup"}},
      {"the journal of another ledger",
       [](const fs::path& dir) {
         make_ledger(dir / "other");
         fs::copy_file(dir / "other" / "journal.db", dir / "journal.db",
                       fs::copy_options::overwrite_existing);
       },
       {"belong to different ledgers", "restore both from one backup"}},
      {"a journal that has lost its end",
       [](const fs::path& dir) {
         execute(dir / "journal.db", "DELETE FROM entries WHERE sequence = 3");
       },
       {"ends at entry 2", "has seen entry 3", "restore a backup", "remove snapshots.db"}},
      {"a journal with a hole that a replay would pass over",
       [](const fs::path& dir) {
         execute(dir / "journal.db", "DELETE FROM entries WHERE sequence = 2");
         fs::remove(dir / "snapshots.db");
       },
       {"entry 3", "version 3 of install \"a\"", "does not follow"}},
      {"an entry of a kind from the future",
       [](const fs::path& dir) {
         execute(dir / "journal.db", "UPDATE entries SET kind = 99 WHERE sequence = 3");
         fs::remove(dir / "snapshots.db");
       },
       {"entry 3", "install \"a\"", "kind"}},
  }));
  INFO(damaged.name);
  const TemporaryDirectory directory;
  make_ledger(directory.path());
  damaged.damage(directory.path());
  const auto size = [&](const char* file) {
    std::error_code missing;
    return fs::file_size(directory.path() / file, missing);
  };
  const auto journal_size = size("journal.db");
  const std::string refusal = refusal_of(directory.path());
  for (const std::string& part : damaged.told) check_tells(refusal, {part});
  check_tells(refusal, {directory.path().string()});
  CHECK(size("journal.db") == journal_size);
}

constexpr std::uintmax_t small_log = 32 * 1024 * 1024;

std::vector<ledger::Row> rows_of(RowCursor& cursor) {
  std::vector<ledger::Row> rows;
  while (auto row = cursor.next()) rows.push_back(*std::move(row));
  return rows;
}

// Writes every row in each round.
class GrowingLedger {
 public:
  explicit GrowingLedger(Store& store) : store_{store} {
    for (int n = 0; n < 20'000; ++n) {
      rows.push_back(row_of(std::string(80, 'x') + std::to_string(100'000 + n)));
    }
  }

  void write(int times) {
    for (int i = 0; i < times; ++i) {
      std::vector<Mutation> round;
      for (ledger::Row& row : rows) round.push_back(commit(row));
      append(store_, round);
      store_.checkpoint();
    }
  }

  std::vector<ledger::Row> rows;

 private:
  Store& store_;
};

TEST_CASE(
    "a snapshot that is read slowly does not make the log grow, and stands still all the same") {
  const TemporaryDirectory directory;
  SqliteOptions options;
  options.snapshot_hold_max = std::chrono::milliseconds{0};
  const auto store = open_sqlite_store(directory.path(), options);
  GrowingLedger ledger{*store};
  ledger.write(1);
  const auto before = ledger.rows;
  const auto snapshot = store->snapshot();
  auto read = std::vector{snapshot->next().value()};
  ledger.write(12);
  CHECK(fs::file_size(directory.path() / "snapshots.db-wal") <= small_log);
  for (auto& row : rows_of(*snapshot)) read.push_back(std::move(row));
  CHECK(read == before);
}

TEST_CASE(
    "logs that grew while somebody read are small again when nobody does, also without a write") {
  const TemporaryDirectory directory;
  const auto store = open_sqlite_store(directory.path());
  GrowingLedger ledger{*store};
  const auto size = [&](const std::string& file) {
    return fs::file_size(directory.path() / (file + "-wal"));
  };
  const auto forget_nothing = [&] { return store->prune({ledger::Time{}, ledger::Time{}}); };
  {
    std::vector<SQLite::Database> readers;
    for (const char* file : {"journal.db", "snapshots.db"}) {
      readers.emplace_back((directory.path() / file).string());
      readers.back().exec("BEGIN; SELECT ledger_id FROM ledger");
    }
    while (size("journal.db") <= small_log || size("snapshots.db") <= small_log) ledger.write(1);
    CHECK_FALSE(forget_nothing());  // it does not wait
    CHECK(size("journal.db") > small_log);
    CHECK(append(*store, std::vector{commit(ledger.rows.front())}).front() == Outcome::stored);
  }
  CHECK_FALSE(forget_nothing());
  CHECK(size("journal.db") <= small_log);
  CHECK(size("snapshots.db") <= small_log);
  CHECK_FALSE(audit(directory.path()).fault);
}

// Files of an earlier release had no marks, and its backups expect a log.
TEST_CASE("a page that is in neither the file nor its log is found at the start") {
  const TemporaryDirectory directory;
  const fs::path ledger = directory.path() / "ledger";
  const fs::path crashed = directory.path() / "crashed";
  const std::string file = GENERATE("journal.db", "snapshots.db");
  auto row = make_ledger(ledger);
  {
    const auto store = open_sqlite_store(ledger);
    append(*store, std::vector{commit(row)});
    store->checkpoint();
    copy_as_after_a_crash(ledger, crashed);
  }
  fs::resize_file(crashed / file, 2 * 4096);
  check_tells(refusal_of(crashed), {(crashed / file).string(), " lacks page ", "restore"});
  check_tells(told_by<StoreError>([&] { audit(crashed); }), {file + " lacks page "});
}

TEST_CASE("snapshots that have seen other entries than the journal has are refused") {
  const TemporaryDirectory directory;
  const fs::path one = directory.path() / "one";
  const fs::path other = directory.path() / "other";
  const auto row = make_ledger(one);
  fs::copy(one, other, fs::copy_options::recursive);
  for (const auto& [path, tier] : {std::pair{one, "core"}, std::pair{other, "pro"}}) {
    auto after = row;
    const auto store = open_sqlite_store(path);
    append(*store, std::vector{commit(after, 1, tier)});
    store->checkpoint();
  }
  fs::copy_file(other / "snapshots.db", one / "snapshots.db", fs::copy_options::overwrite_existing);
  check_tells(refusal_of(one), {"snapshots.db has seen another entry 4", one.string(), "remove"});
  fs::remove(one / "snapshots.db");
  CHECK(load(*open_sqlite_store(one), "a").value().version == 4);
}

TEST_CASE("a log whose journal is gone is left alone") {
  const TemporaryDirectory directory;
  const fs::path crashed = directory.path() / "crashed";
  const bool is_empty = GENERATE(false, true);
  {
    auto row = row_of("a");
    const auto store = open_sqlite_store(directory.path() / "ledger");
    append(*store, std::vector{create(row)});
    copy_as_after_a_crash(directory.path() / "ledger", crashed);
  }
  for (const char* file : {"journal.db", "snapshots.db", "snapshots.db-wal"}) {
    fs::remove(crashed / file);
  }
  if (is_empty) std::ofstream{crashed / "journal.db"};
  const auto size = fs::file_size(crashed / "journal.db-wal");
  check_tells(refusal_of(crashed), {"journal.db", "its log", "journal.db-wal", "put"});
  CHECK(fs::file_size(crashed / "journal.db-wal") == size);
}

TEST_CASE("a row that does not match its checksum is not served") {
  const std::string change = GENERATE(values<std::string>({
      "lifetime_consumed = 0",
      "tier_snapshot = 'max'",
      "last_sequence = 1",
      "checksum = checksum + 1",
      "holds = x'01'",
      "version = 2",
  }));
  INFO(change);
  const TemporaryDirectory directory;
  make_ledger(directory.path());
  execute(directory.path() / "snapshots.db", "UPDATE rows SET " + change);
  const auto store = open_sqlite_store(directory.path());
  const auto check_refused = [](auto read) {
    check_tells(told_as(StoreErrorKind::damaged, read), {"install \"a\"", "checksum", "backup"});
  };
  check_refused([&] { load(*store, "a"); });
  check_refused([&] { store->entries("a", any_version, 10); });
  check_refused([&] { store->list({}); });
  check_refused([&] { store->snapshot()->next(); });
}

TEST_CASE("a changed entry is not served") {
  const TemporaryDirectory directory;
  make_ledger(directory.path());
  auto b = row_of("b");
  {
    const auto store = open_sqlite_store(directory.path());
    append(*store, std::vector{create(b), commit_with_key(b, "k")});
    store->checkpoint();
  }
  const std::string change = GENERATE(values<std::string>({
      "credits = credits + 1",
      "install_id = 'c'",
      "hash = zeroblob(32)",
      "previous_sequence = 0",
      "previous_sequence = 3",
  }));
  INFO(change);
  execute(directory.path() / "journal.db", "UPDATE entries SET " + change + " WHERE version = 2");
  const auto store = open_sqlite_store(directory.path());
  for (const std::string id : {"a", "b"}) {
    check_tells(told_as(StoreErrorKind::damaged, [&] { store->entries(id, any_version, 10); }),
                {"journal.db", "install", "backup"});
  }
  CHECK(kind_thrown_by([&] { store->recall("b", std::vector{key("k")}); }) ==
        StoreErrorKind::damaged);
}

TEST_CASE("a missing entry, or one of another install, is damage and not an empty history") {
  const TemporaryDirectory directory;
  const std::string change = GENERATE(values<std::string>({
      "DELETE FROM entries WHERE sequence = 2",
      "DELETE FROM entries WHERE sequence = 2; UPDATE entries SET sequence = 2 WHERE sequence = 4",
  }));
  INFO(change);
  auto a = row_of("a");
  auto b = row_of("b");
  {
    const auto store = open_sqlite_store(directory.path());
    append(*store,
           std::vector{create(a), commit_with_key(a, "k"), create(b), commit(b), commit(b)});
    store->checkpoint();
  }
  execute(directory.path() / "journal.db", change);
  const auto store = open_sqlite_store(directory.path());
  const auto check_damaged = [](auto read) {
    check_tells(told_as(StoreErrorKind::damaged, read),
                {"journal.db", "install \"a\"", "entry 2", "backup"});
  };
  check_damaged([&] { store->entries("a", any_version, 10); });
  check_damaged([&] { store->recall("a", std::vector{key("k")}); });
  CHECK(load(*store, "a") == a);
}

TEST_CASE("a name that leads to an entry of another name is damage") {
  const TemporaryDirectory directory;
  auto a = row_of("a");
  {
    const auto store = open_sqlite_store(directory.path());
    append(*store, std::vector{create(a), commit_with_key(a, "k"), commit_with_key(a, "l")});
    store->checkpoint();
  }
  execute(directory.path() / "snapshots.db", "UPDATE names SET sequence = 3 WHERE name = 'k'");
  const auto store = open_sqlite_store(directory.path());
  check_tells(told_as(StoreErrorKind::damaged, [&] { store->recall("a", std::vector{key("k")}); }),
              {"snapshots.db", "install \"a\"", "\"k\"", "backup"});
  CHECK(store->recall("a", std::vector{key("l")}).front());
}

TEST_CASE("a damaged install in a batch is not stored, and the others are") {
  const TemporaryDirectory directory;
  auto a = make_ledger(directory.path(), "a");
  auto b = row_of("b");
  execute(directory.path() / "snapshots.db", "UPDATE rows SET lifetime_consumed = 0");
  const auto store = open_sqlite_store(directory.path());
  for (int round = 0; round < 2; ++round) {
    const auto first = round == 0 ? create(b) : commit(b);
    CHECK(append(*store, std::vector{commit(a), first, commit(a), commit(b)}) ==
          std::vector{Outcome::damaged, Outcome::stored, Outcome::damaged, Outcome::stored});
    store->checkpoint();
  }
  CHECK(load(*store, "b") == b);
  CHECK(kind_thrown_by([&] { load(*store, "a"); }) == StoreErrorKind::damaged);
}

TEST_CASE("a damaged page damages the installs that are on it") {
  const TemporaryDirectory directory;
  const std::string padding(100, 'x');
  const auto id = [&](int n) { return std::to_string(1000 + n) + padding; };
  std::vector<ledger::Row> rows;
  {
    const auto store = open_sqlite_store(directory.path());
    std::vector<Mutation> mutations;
    for (int n = 0; n < 200; ++n) {
      rows.push_back(row_of(id(n)));
      mutations.push_back(create(rows.back()));
    }
    append(*store, mutations);
    store->checkpoint();
  }
  const auto file = directory.path() / "snapshots.db";
  const auto page = [&] {
    SQLite::Database database{file.string()};
    return database
        .execAndGet("SELECT pageno FROM dbstat WHERE name = 'rows' AND pagetype = 'leaf' LIMIT 1")
        .getInt64();
  }();
  std::fstream{file, std::ios::in | std::ios::out | std::ios::binary}
      .seekp((page - 1) * 4096)
      .write("\xff\xff\xff\xff", 4);
  const auto store = open_sqlite_store(directory.path());
  int damaged = 0;
  for (const ledger::Row& row : rows) {
    try {
      const auto loaded = load(*store, row.install_id);
      CHECK(loaded == row);
    } catch (const StoreError& error) {
      ++damaged;
      CHECK(error.kind() == StoreErrorKind::damaged);
      check_tells(error.what(), {row.install_id, "snapshots.db", "backup"});
    }
  }
  CHECK(damaged > 0);
  CHECK(damaged < 200);
  check_tells(told_as(StoreErrorKind::damaged, [&] { store->list({}); }), {"after install"});
}

TEST_CASE("an entry after pruned ones is compared with the hash of the baseline") {
  const TemporaryDirectory directory;
  auto a = row_of("a");
  const auto store = open_sqlite_store(directory.path());
  append(*store, std::vector{create(a), commit(a), commit(a, 1, "core", december)});
  store->checkpoint();
  store->prune({december, december});
  CHECK(store->entries("a", any_version, 10).size() == 1);
  execute(directory.path() / "journal.db", "UPDATE baselines SET hash = zeroblob(32)");
  CHECK(kind_thrown_by([&] { store->entries("a", any_version, 10); }) == StoreErrorKind::damaged);
}

TEST_CASE("pruning skips a damaged install, names it, and goes on with the others") {
  const std::string change = GENERATE(values<std::string>({
      "credits = credits + 1",
      "kind = 99",
      "at_ms = at_ms + 100000000000",
      "previous_sequence = 0",
      "hash = zeroblob(32)",
  }));
  INFO(change);
  const TemporaryDirectory directory;
  std::vector<std::string> told;
  SqliteOptions options;
  options.report = [&](std::string_view, const std::string& text) { told.push_back(text); };
  auto a = row_of("a");
  auto b = row_of("b");
  std::vector<Mutation> mutations{create(a), create(b)};
  for (int n = 0; n < 3; ++n) {
    for (ledger::Row* row : {&a, &b}) {
      mutations.push_back(commit_with_key(*row, "k" + std::to_string(n)));
    }
  }
  {
    const auto store = open_sqlite_store(directory.path());
    append(*store, mutations);
    store->checkpoint();
  }
  execute(directory.path() / "journal.db",
          "UPDATE entries SET " + change + " WHERE install_id = 'a' AND version = 2");
  const auto prune_all = [&](Store& store) {
    while (store.prune({december, december})) {
    }
  };
  for (int round = 0; round < 2; ++round) {
    const auto store = open_sqlite_store(directory.path(), options);
    told.clear();
    prune_all(*store);
    prune_all(*store);
    CHECK(store->entries("b", any_version, 10).empty());
    CHECK(kind_thrown_by([&] { store->entries("a", any_version, 10); }) == StoreErrorKind::damaged);
    // Both continue, with sequence numbers that no entry had.
    CHECK(append(*store, std::vector{commit(a), commit_with_key(b, "k" + std::to_string(round))}) ==
          std::vector{Outcome::stored, Outcome::stored});
    store->checkpoint();
    prune_all(*store);
    REQUIRE(told.size() == 1);
    check_tells(told.front(), {"journal.db", "install \"a\"", "not pruned", "backup"});
    CHECK(store->entries("b", any_version, 10).empty());
  }
  const auto report = audit(directory.path());
  REQUIRE(report.fault);
  CHECK(report.fault->install_id == "a");
  CHECK(load(*open_sqlite_store(directory.path()), "b") == b);
}

TEST_CASE("a replay refuses an entry that does not match its hash") {
  const TemporaryDirectory directory;
  make_ledger(directory.path());
  execute(directory.path() / "journal.db", "UPDATE entries SET tier = 'max' WHERE version = 3");
  fs::remove(directory.path() / "snapshots.db");
  const auto refusal = refusal_of(directory.path());
  CHECK(refusal.find("version 3 of install \"a\": it is damaged") != std::string::npos);
}

TEST_CASE("a file that was cut in the middle of a page is refused") {
  const TemporaryDirectory directory;
  make_ledger(directory.path());
  const auto file = directory.path() / GENERATE("journal.db", "snapshots.db");
  fs::resize_file(file, fs::file_size(file) - 1);
  CHECK(refusal_of(directory.path()) == file.string() + " was cut short; restore it from a backup");
}

TEST_CASE("a data directory that cannot be one says so") {
  const TemporaryDirectory directory;
  std::ofstream{directory.path() / "file"} << "x";
  check_tells(refusal_of(directory.path() / "file"), {"is not a directory"});
  check_tells(refusal_of(directory.path() / "file" / "below"), {"cannot make the data directory"});
}

TEST_CASE("the newest time is that of the newest entry that pruning has left") {
  const TemporaryDirectory directory;
  const auto store = open_sqlite_store(directory.path());
  CHECK_FALSE(store->newest_time());
  auto kept = ledger::blank_row("kept", november);
  auto gone = ledger::blank_row("gone", november);
  const ledger::Time later = november + std::chrono::minutes{1};
  append(*store, std::vector{commit_with_key(kept, "k"), commit(gone, 1, "core", later)});
  CHECK(store->newest_time() == later);
  store->checkpoint();
  while (store->prune({december, november})) {
  }
  CHECK(store->newest_time() == november);
}

}  // namespace
}  // namespace credits::persistence
