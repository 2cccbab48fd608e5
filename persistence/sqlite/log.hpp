// Whether a file of SQLite's and the log beside it, FILE-wal, are of each other. SQLite applies
// whatever log it finds to whatever file, and takes a file without its log for a whole one.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <filesystem>

namespace credits::persistence {

// What journal.db says of itself, as its application_id.
enum class Mark : std::int32_t {
  none = 0,             // written by a release that had no marks
  in_use = 0x52434c6f,  // a creditsd has it, or has ended without closing it: the log belongs to it
  closed = 0x52434c63,  // whole without a log
  backup = 0x52434c62,  // a copy that no creditsd has opened yet
};

void write_mark(SQLite::Database& database, Mark mark);
Mark read_mark(SQLite::Database& database);

std::filesystem::path log_of(const std::filesystem::path& path);

// Throws StoreError if the log beside the file, which may be missing, cannot be its own. Looks
// only.
void expect_own_log(const std::filesystem::path& path);

// Throws StoreError if there is a log, but the file is missing or empty: SQLite would remove the
// log.
void expect_file_of_log(const std::filesystem::path& path);

// Throws StoreError if a page is neither in the file nor in its log.
void expect_whole_pages(const std::filesystem::path& path, SQLite::Database& database);

// Whether it is one, and has not been opened by a creditsd since it was made. Looks only.
bool is_backup(const std::filesystem::path& path);

// Whether the file had a log that is not there any more, or has nothing in it. Throws StoreError if
// all that it had was in the log. Looks only.
bool is_log_missing(const std::filesystem::path& path);

}  // namespace credits::persistence
