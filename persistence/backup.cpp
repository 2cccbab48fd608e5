#include "persistence/backup.hpp"

#include <SQLiteCpp/Backup.h>
#include <sqlite3.h>

#include "persistence/journal.hpp"
#include "persistence/sqlite_file.hpp"

namespace credits::persistence {

namespace {

constexpr int pages_at_once = 256;

// Its reader must not move on: SQLite starts a copy anew when it sees a change.
SQLite::Database open_standing_still(const std::filesystem::path& journal) {
  SQLite::Database database = open_reader(journal);
  database.exec("BEGIN");
  read_ledger_id(database);  // the first look decides what is seen
  return database;
}

// Whoever wants the file kept syncs it, and nobody keeps it if the copying ends early.
SQLite::Database open_copy(const std::filesystem::path& file) {
  SQLite::Database database{file.string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE};
  database.exec("PRAGMA journal_mode = OFF");
  database.exec("PRAGMA synchronous = OFF");
  return database;
}

}  // namespace

void backup(const std::filesystem::path& data_dir, const std::filesystem::path& file,
            const std::function<void(std::uint64_t done, std::uint64_t total)>& report) {
  const auto journal_path = data_dir / journal_file;
  if (!std::filesystem::exists(journal_path)) {
    throw StoreError{data_dir.string() + " is not the data directory of a ledger: it has no " +
                     journal_file};
  }
  expect_version(journal_path, sql::journal_schema);
  try {
    SQLite::Database journal = open_standing_still(journal_path);
    SQLite::Database copy = open_copy(file);
    SQLite::Backup copying{copy, journal};
    for (int result = SQLITE_OK; result != SQLITE_DONE;) {
      result = copying.executeStep(pages_at_once);
      if (result == SQLITE_BUSY || result == SQLITE_LOCKED) {
        throw StoreError{file.string() + " is in use"};
      }
      const auto total = static_cast<std::uint64_t>(copying.getTotalPageCount());
      report(total - static_cast<std::uint64_t>(copying.getRemainingPageCount()), total);
    }
  } catch (const SQLite::Exception& error) {
    throw StoreError{"cannot copy " + journal_path.string() + " to " + file.string() + ": " +
                     error.what()};
  }
}

}  // namespace credits::persistence
