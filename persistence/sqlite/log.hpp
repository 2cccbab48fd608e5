// Checks whether an SQLite file and the log beside it, FILE-wal, belong together. SQLite applies
// any log that it finds to the file, and takes a file without its log for a complete one.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <filesystem>

namespace credits::persistence {

// The state of journal.db, stored as its application_id.
enum class Mark : std::int32_t {
  none = 0,             // written by a release that had no marks
  in_use = 0x52434c6f,  // a creditsd has it open, or ended without closing it: it needs its log
  closed = 0x52434c63,  // complete without a log
  backup = 0x52434c62,  // a copy that no creditsd has opened yet
};

void write_mark(SQLite::Database& database, Mark mark);
Mark read_mark(SQLite::Database& database);

std::filesystem::path log_of(const std::filesystem::path& path);

// Throws StoreError if the log beside the file cannot be its own. The file may be missing. Only
// reads.
void expect_own_log(const std::filesystem::path& path);

// Throws StoreError if there is a log but the file is missing or empty: SQLite would remove the
// log.
void expect_file_of_log(const std::filesystem::path& path);

// Throws StoreError if a page is in neither the file nor its log.
void expect_whole_pages(const std::filesystem::path& path, SQLite::Database& database);

// Whether the file is a backup that no creditsd has opened yet. Only reads.
bool is_backup(const std::filesystem::path& path);

// Whether the file had a log that is now missing or empty. Throws StoreError if all its content was
// in the log. Only reads.
bool is_log_missing(const std::filesystem::path& path);

}  // namespace credits::persistence
