// What the SQLite files of a ledger have in common: how they are opened, which ledger and which
// schema they belong to, and how SQLite's errors become StoreErrors.
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

// A second connection, that writes nothing, also on a mount that is read-only. Throws StoreError.
SQLite::Database open_reader(const std::filesystem::path& path);

// A statement on the file's connection. Throws StoreError.
SQLite::Statement prepare(const std::filesystem::path& path, const SQLite::Database& database,
                          const char* statement);

// Throws StoreError if the file is not of this schema's version.
void expect_version(const std::filesystem::path& path, const sql::Schema& schema);

// For a new ledger.
std::string random_ledger_id();

// The connection that writes. Makes the file, for `ledger_id`, if it is missing or empty, and
// upgrades one of an older version. Throws StoreError if it is no ledger's, or one that a newer
// creditsd has written. Until expect_writable(), closing it leaves the log as it is.
SQLite::Database open_writer(const std::filesystem::path& path, const sql::Schema& schema,
                             const std::string& ledger_id);

// Writes a page of the file, as it is, durably as a commit on this connection is. An UPDATE of a
// value to itself writes none.
void write_again(SQLite::Database& database);

// Throws StoreError if the file cannot be written: SQLite opens one that it may only read without a
// word. Where there is no room now there may be some later, and what is there can be read until
// then. It does `write`, so it is for files that can be trusted. When one is closed from then on,
// its log stays, with nothing in it: a copy of the directory has a log for each file, and none is
// removed by its name, which may be that of another ledger's by then.
void expect_writable(const std::filesystem::path& path, SQLite::Database& database,
                     const std::function<void()>& write);

// Whether the file's log is larger than it has to be: it grew while somebody read, and shrinks only
// when it begins anew.
bool is_log_large(const std::filesystem::path& path);

// Puts into the file what its log has, as far as nobody reads that. Holds up no writer.
void empty_log(const std::filesystem::path& path);

// The same, and lets the log begin anew and small, by writing a page again, unless somebody reads.
void begin_log_anew(SQLite::Database& database);

// Whether, when the connection is closed, the log stays as it is, as after a crash.
void leave_log(SQLite::Database& database, bool is_left);

std::string read_ledger_id(SQLite::Database& database);

// One of SQLite's result codes, without what an extended one adds.
int primary_code_of(const SQLite::Exception& error);

// Whether SQLite found no room on the disk, in the quota or below the limit of a file's size, the
// last thing that failed on the connection. It knows only the first by itself.
bool is_without_room(SQLite::Database& database, const SQLite::Exception& error);

// Whether what a file has on the disk is unknown from now on. What failed to be written is not: it
// lies after the newest commit in SQLite's log, and the next write goes over it.
bool is_for_good(const SQLite::Exception& error);

// Of an error about which the system says no more than SQLite does.
StoreErrorKind kind_of(const SQLite::Exception& error);

// Of a call to the system that has left `reason` in errno.
StoreErrorKind kind_of_system_error(int reason);

StoreError to_store_error(const std::filesystem::path& path, const SQLite::Exception& error);

// The same, with what the system said.
StoreError to_store_error(const std::filesystem::path& path, SQLite::Database& database,
                          const SQLite::Exception& error);

// Runs `work`; what SQLite throws in it becomes a StoreError that names the file.
template <class Work>
auto on_file(const std::filesystem::path& path, Work work) {
  try {
    return work();
  } catch (const SQLite::Exception& error) {
    throw to_store_error(path, error);
  }
}

// The same with what the system said to the connection.
template <class Work>
auto on_file(const std::filesystem::path& path, SQLite::Database& database, Work work) {
  try {
    return work();
  } catch (const SQLite::Exception& error) {
    throw to_store_error(path, database, error);
  }
}

// SQLite has found a page that is not as it was written.
bool is_damage(const SQLite::Exception& error);

// `whose` is what is damaged, as "install \"a\"".
StoreError to_damaged_error(const std::filesystem::path& path, const std::string& whose,
                            const std::string& what);

inline std::string install_in_words(const std::string& id) { return "install \"" + id + "\""; }

// The same for what reads no more than `whose`: pages that are damaged are the damage of that.
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

// As SQLite has them: its integers are signed, and a time is in milliseconds since 1970.
inline std::int64_t to_integer(std::uint64_t number) { return static_cast<std::int64_t>(number); }
inline std::int64_t to_integer(ledger::Time time) { return time.time_since_epoch().count(); }

// Takes a statement back to its start, whatever happens in between.
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
