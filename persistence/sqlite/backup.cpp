#include "persistence/sqlite/backup.hpp"

#include <SQLiteCpp/Backup.h>
#include <sqlite3.h>

#include "persistence/sqlite/file.hpp"
#include "persistence/sqlite/journal.hpp"
#include "persistence/sqlite/log.hpp"

namespace credits::persistence {

namespace {

constexpr int pages_at_once = 256;

// The connection reads one snapshot: SQLite restarts a copy when it sees a change.
SQLite::Database open_snapshot(const std::filesystem::path& journal) {
  SQLite::Database database = open_reader(journal);
  database.exec("BEGIN");
  read_ledger_id(database);  // the first read takes the snapshot
  return database;
}

// The caller syncs the finished file; an unfinished one is of no use.
SQLite::Database open_copy(const std::filesystem::path& file) {
  SQLite::Database database{file.string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE};
  database.exec("PRAGMA journal_mode = OFF");
  database.exec("PRAGMA synchronous = OFF");
  return database;
}

void copy_pages(const std::filesystem::path& from, const std::filesystem::path& to,
                const ReportCopied& report) {
  SQLite::Database journal = open_snapshot(from);
  SQLite::Database copy = open_copy(to);
  SQLite::Backup copying{copy, journal};
  for (int result = SQLITE_OK; result != SQLITE_DONE;) {
    result = copying.executeStep(pages_at_once);
    if (result == SQLITE_BUSY || result == SQLITE_LOCKED) {
      throw StoreError{StoreErrorKind::unavailable, to.string() + " is in use"};
    }
    const auto total = static_cast<std::uint64_t>(copying.getTotalPageCount());
    report(total - static_cast<std::uint64_t>(copying.getRemainingPageCount()), total);
  }
}

// The mark lets a start refuse other files beside the backup.
void mark_as_backup(const std::filesystem::path& file) {
  SQLite::Database copy{file.string(), SQLite::OPEN_READWRITE};
  copy.exec("PRAGMA synchronous = OFF");
  copy.exec("PRAGMA journal_mode = DELETE");  // so that no log can belong to it
  copy.exec("PRAGMA journal_mode = OFF");
  write_mark(copy, Mark::backup);
}

}  // namespace

void backup(const std::filesystem::path& data_dir, const std::filesystem::path& file,
            const ReportCopied& report) {
  const auto journal_path = data_dir / journal_file;
  if (!std::filesystem::exists(journal_path)) {
    throw StoreError{
        StoreErrorKind::refused,
        data_dir.string() + " is not the data directory of a ledger: it has no " + journal_file};
  }
  expect_version(journal_path, sql::journal_schema);
  try {
    copy_pages(journal_path, file, report);
    mark_as_backup(file);
  } catch (const SQLite::Exception& error) {
    throw StoreError{kind_of(error), "cannot copy " + journal_path.string() + " to " +
                                         file.string() + ": " + error.what()};
  }
}

}  // namespace credits::persistence
