// Shared by the SQLite files of a ledger: opening them, checking which ledger and schema they
// belong to, and turning SQLite's errors into StoreErrors.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "persistence/sqlite/sql.hpp"
#include "persistence/store.hpp"

namespace credits::persistence {

// Opens a read-only connection, even on a read-only mount. Throws StoreError.
SQLite::Database open_reader(const std::filesystem::path& path);

// Prepares a statement on the file's connection. Throws StoreError.
SQLite::Statement prepare(const std::filesystem::path& path, const SQLite::Database& database,
                          const char* statement);

// Throws StoreError if the file does not have this schema's version.
void expect_version(const std::filesystem::path& path, const sql::Schema& schema);

// The id of a new ledger.
std::string random_ledger_id();

// Opens the connection that writes. Creates the file, for `ledger_id`, if it is missing or empty,
// and upgrades one of an older version. Throws StoreError if it is not a ledger's file, or a newer
// creditsd has written it. Until expect_writable(), closing the connection leaves the log as it is.
SQLite::Database open_writer(const std::filesystem::path& path, const sql::Schema& schema,
                             const std::string& ledger_id);

// Writes a page of the file unchanged, as durably as a commit on this connection. (An UPDATE of a
// value to itself would write no page.)
void write_again(SQLite::Database& database);

// Throws StoreError if the file cannot be written: SQLite opens a read-only file without an error.
// A lack of room is no failure, as there may be room later, and the file can be read until then.
// Calls `write`, so the file must be trusted by then. From now on, closing the connection leaves an
// empty log: a copy of the directory then has a log for each file, and SQLite does not remove a log
// by its name, which may belong to another ledger by then.
void expect_writable(const std::filesystem::path& path, SQLite::Database& database,
                     const std::function<void()>& write);

// Whether the file's log is larger than necessary: it grows while there is a reader, and shrinks
// only when it is restarted.
bool is_log_large(const std::filesystem::path& path);

// Moves the log's content into the file, as far as readers allow. Delays no writer.
void empty_log(const std::filesystem::path& path);

// The same, then restarts a small log by writing a page again, unless there is a reader.
void restart_log(SQLite::Database& database);

// Sets whether closing the connection leaves the log as it is, as after a crash.
void leave_log(SQLite::Database& database, bool is_left);

std::string read_ledger_id(SQLite::Database& database);

// The primary result code of an error, without the extended part.
int primary_code_of(const SQLite::Exception& error);

// Whether the last failure on the connection was a lack of room: on the disk, in the quota, or
// below the limit of a file's size. SQLite itself recognises only the first.
bool is_without_room(SQLite::Database& database, const SQLite::Exception& error);

// Whether the content of the file on the disk is unknown from now on. After a failed write it is
// not: the write lies after the newest commit in SQLite's log, and the next one overwrites it.
bool is_for_good(const SQLite::Exception& error);

// Judges by SQLite's error alone, without the system's.
StoreErrorKind kind_of(const SQLite::Exception& error);

// Judges by the errno that a failed system call has left.
StoreErrorKind kind_of_system_error(int error);

StoreError to_store_error(const std::filesystem::path& path, const SQLite::Exception& error);

// The same, with the system's error on the connection.
StoreError to_store_error(const std::filesystem::path& path, SQLite::Database& database,
                          const SQLite::Exception& error);

// Runs `work`, and turns SQLite's exceptions into StoreErrors that name the file.
template <class Work>
auto on_file(const std::filesystem::path& path, Work work) {
  try {
    return work();
  } catch (const SQLite::Exception& error) {
    throw to_store_error(path, error);
  }
}

// The same, with the system's error on the connection.
template <class Work>
auto on_file(const std::filesystem::path& path, SQLite::Database& database, Work work) {
  try {
    return work();
  } catch (const SQLite::Exception& error) {
    throw to_store_error(path, database, error);
  }
}

// Whether SQLite has found a page that differs from what was written.
bool is_damage(const SQLite::Exception& error);

// `whose` names the damaged part, such as "install \"a\"".
StoreError to_damaged_error(const std::filesystem::path& path, const std::string& whose,
                            const std::string& what);

inline std::string install_in_words(const std::string& id) { return "install \"" + id + "\""; }

// The same for work that reads nothing but `whose`: a damaged page then means that this is damaged.
template <class Work>
auto on_part(const std::filesystem::path& path, const std::string& whose, Work work) {
  try {
    return work();
  } catch (const SQLite::Exception& error) {
    if (is_damage(error)) throw to_damaged_error(path, whose, error.what());
    throw to_store_error(path, error);
  }
}

template <class Work>
auto on_install(const std::filesystem::path& path, const std::string& id, Work work) {
  return on_part(path, install_in_words(id), std::move(work));
}

// Values as SQLite stores them: its integers are signed, and a time is in milliseconds since 1970.
inline std::int64_t to_integer(std::uint64_t number) { return static_cast<std::int64_t>(number); }
inline std::int64_t to_integer(ledger::Time time) { return time.time_since_epoch().count(); }

// Resets a statement at the end of its scope.
class Rewind {
 public:
  explicit Rewind(SQLite::Statement& statement) : statement_{statement} {}
  ~Rewind() { statement_.tryReset(); }
  Rewind(const Rewind&) = delete;
  Rewind& operator=(const Rewind&) = delete;

 private:
  SQLite::Statement& statement_;
};

}  // namespace credits::persistence
