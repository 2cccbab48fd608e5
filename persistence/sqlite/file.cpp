#include "persistence/sqlite/file.hpp"

#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <random>
#include <string_view>

#include "persistence/sqlite/log.hpp"

namespace credits::persistence {

namespace {

constexpr int busy_timeout_ms = 5'000;
constexpr std::uintmax_t log_bytes_kept =
    32 * 1024 * 1024;  // twice the size that triggers a checkpoint

void create_file(SQLite::Database& database, const sql::Schema& schema,
                 const std::string& ledger_id) {
  database.exec(schema.first);
  SQLite::Statement insert{database, sql::insert_ledger};
  insert.bind(1, ledger_id);
  insert.exec();
}

// Creates or upgrades the file in one transaction. Version 0: the file is still empty.
void bring_up_to_date(SQLite::Database& database, int version, const sql::Schema& schema,
                      const std::string& ledger_id) {
  if (version == schema.version()) return;
  SQLite::Transaction transaction{database};
  if (version == 0) create_file(database, schema, ledger_id);
  for (auto done = static_cast<std::size_t>(std::max(0, version - 1));
       done < schema.upgrades.size(); ++done) {
    database.exec(schema.upgrades[done]);
  }
  database.exec("PRAGMA user_version = " + std::to_string(schema.version()));
  transaction.commit();
}

bool is_blank(SQLite::Database& database) {
  return database.execAndGet("SELECT count(*) FROM sqlite_master").getInt() == 0;
}

void check_version(const std::filesystem::path& path, int version, const sql::Schema& schema) {
  if (version == 0)
    throw StoreError{StoreErrorKind::refused,
                     path.string() + " is not a file of a ledger; move it away"};
  if (version > schema.version()) {
    throw StoreError{StoreErrorKind::refused,
                     path.string() + " has schema version " + std::to_string(version) +
                         ", this creditsd knows up to " + std::to_string(schema.version()) +
                         "; run the newer creditsd that wrote it"};
  }
}

bool is_on_read_only_mount(const std::filesystem::path& path) {
  const auto directory = path.has_parent_path() ? path.parent_path() : std::filesystem::path{"."};
  return ::access(directory.c_str(), W_OK) != 0 && errno == EROFS;
}

// Whether the file cannot change: it is on a read-only mount, and has no log. To read it normally,
// SQLite would create files beside it, which is impossible there. A file with a log but without the
// log's index can be read only from a copy.
bool is_frozen(const std::filesystem::path& path) {
  if (!is_on_read_only_mount(path) || std::filesystem::exists(path.string() + "-shm")) return false;
  std::error_code no_log;
  const auto log_bytes = std::filesystem::file_size(path.string() + "-wal", no_log);
  if (no_log || log_bytes == 0) return std::filesystem::exists(path);
  throw StoreError{
      StoreErrorKind::refused,
      path.string() + ": its log, " + path.string() +
          "-wal, cannot be read on a mount that is read-only; copy the directory to where "
          "files can be made, and use the copy"};
}

std::string uri_of_frozen(const std::filesystem::path& path) {
  std::string uri = "file:";
  for (const char c : std::filesystem::absolute(path).string()) {
    constexpr std::string_view digits = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(c);
    const bool is_plain = std::isalnum(byte) != 0 || c == '/' || c == '.' || c == '-' || c == '_';
    is_plain ? uri.append(1, c) : uri.append({'%', digits[byte >> 4U], digits[byte & 0xfU]});
  }
  return uri + "?immutable=1";
}

// The system's error at the last failure of this file's log, or 0. (SQLite 3.40's
// sqlite3_system_errno() does not report a failed commit.)
int system_error_of(SQLite::Database& database) {
  ::sqlite3_file* log = nullptr;
  ::sqlite3_file_control(database.getHandle(), "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
  int reason = 0;
  if (log != nullptr && log->pMethods != nullptr) {
    log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &reason);
  }
  return reason;
}

}  // namespace

void write_again(SQLite::Database& database) {
  SQLite::Transaction transaction{database};
  const int version = database.execAndGet("PRAGMA user_version").getInt();
  database.exec("PRAGMA user_version = " + std::to_string(version));
  transaction.commit();
}

void expect_writable(const std::filesystem::path& path, SQLite::Database& database,
                     const std::function<void()>& write) {
  if (::sqlite3_db_readonly(database.getHandle(), "main") != 0) {
    throw StoreError{StoreErrorKind::refused,
                     path.string() + " is read-only; make it writable for this user"};
  }
  on_file(path, database, [&] {
    try {
      write();
    } catch (const SQLite::Exception& error) {
      if (!is_without_room(database, error)) throw;
    }
  });
  int stays = 1;
  ::sqlite3_file_control(database.getHandle(), "main", SQLITE_FCNTL_PERSIST_WAL, &stays);
  leave_log(database, false);
}

bool is_log_large(const std::filesystem::path& path) {
  std::error_code missing;
  const auto bytes = std::filesystem::file_size(log_of(path), missing);
  return !missing && bytes > log_bytes_kept;
}

void empty_log(const std::filesystem::path& path) {
  on_file(path, [&] {
    SQLite::Database database{path.string(), SQLite::OPEN_READWRITE | SQLITE_OPEN_NOMUTEX};
    ::sqlite3_extended_result_codes(database.getHandle(), 1);
    database.exec("PRAGMA wal_checkpoint(PASSIVE)");
  });
}

void restart_log(SQLite::Database& database) {
  database.setBusyTimeout(0);  // does not wait for readers
  try {
    database.exec("PRAGMA wal_checkpoint(RESTART)");
  } catch (const SQLite::Exception&) {
    database.setBusyTimeout(busy_timeout_ms);
    throw;
  }
  database.setBusyTimeout(busy_timeout_ms);
  write_again(database);
}

void leave_log(SQLite::Database& database, bool is_left) {
  ::sqlite3_db_config(database.getHandle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, is_left ? 1 : 0,
                      nullptr);
}

SQLite::Database open_reader(const std::filesystem::path& path) {
  const int flags = SQLite::OPEN_READONLY | SQLITE_OPEN_NOMUTEX;
  return on_file(path, [&] {
    return is_frozen(path)
               ? SQLite::Database{uri_of_frozen(path), flags | SQLITE_OPEN_URI, busy_timeout_ms}
               : SQLite::Database{path.string(), flags, busy_timeout_ms};
  });
}

SQLite::Statement prepare(const std::filesystem::path& path, const SQLite::Database& database,
                          const char* statement) {
  return on_file(path, [&] { return SQLite::Statement{database, statement}; });
}

void expect_version(const std::filesystem::path& path, const sql::Schema& schema) {
  expect_own_log(path);
  on_file(path, [&] {
    SQLite::Database database = open_reader(path);
    const int version = database.execAndGet("PRAGMA user_version").getInt();
    check_version(path, version, schema);
    expect_whole_pages(path, database);
    if (version == schema.version()) return;
    throw StoreError{StoreErrorKind::refused, path.string() + " has the old schema version " +
                                                  std::to_string(version) +
                                                  "; start creditsd on it once, which upgrades it"};
  });
}

std::string random_ledger_id() {
  std::random_device random;
  std::string id;
  for (int i = 0; i < 32; ++i) id += "0123456789abcdef"[random() % 16];
  return id;
}

SQLite::Database open_writer(const std::filesystem::path& path, const sql::Schema& schema,
                             const std::string& ledger_id) {
  expect_own_log(path);
  SQLite::Database database = on_file(path, [&] {
    return SQLite::Database{path.string(),
                            SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                            busy_timeout_ms};
  });
  on_file(path, database, [&] {
    leave_log(database, true);
    ::sqlite3_extended_result_codes(database.getHandle(), 1);
    // Before anything is written: a foreign file must not be changed.
    const int version = database.execAndGet("PRAGMA user_version").getInt();
    const bool blank = is_blank(database);
    if (!blank) check_version(path, version, schema);
    expect_whole_pages(path, database);
    // These two write to the file itself, as there is no log yet.
    if (blank) bring_up_to_date(database, version, schema, ledger_id);
    // The first write will mark it as in use.
    if (read_mark(database) == Mark::backup) write_mark(database, Mark::closed);
    database.exec("PRAGMA journal_mode = WAL");
    if (!blank) bring_up_to_date(database, version, schema, ledger_id);
    // A restarted log gives back the room that it has taken beyond this.
    database.exec("PRAGMA journal_size_limit = " + std::to_string(log_bytes_kept));
  });
  return database;
}

std::string read_ledger_id(SQLite::Database& database) {
  return database.execAndGet(sql::select_ledger).getString();
}

int primary_code_of(const SQLite::Exception& error) { return error.getErrorCode() & 0xff; }

bool is_without_room(SQLite::Database& database, const SQLite::Exception& error) {
  if (kind_of(error) == StoreErrorKind::full) return true;
  if (error.getExtendedErrorCode() != SQLITE_IOERR_WRITE) return false;
  const int reason = system_error_of(database);
  return kind_of_system_error(reason) == StoreErrorKind::full;
}

bool is_for_good(const SQLite::Exception& error) {
  switch (error.getExtendedErrorCode()) {
    case SQLITE_IOERR_FSYNC:
    case SQLITE_IOERR_DIR_FSYNC:
    case SQLITE_IOERR_CORRUPTFS:
    case SQLITE_IOERR:  // of unknown kind
      return true;
    default:
      return false;
  }
}

bool is_damage(const SQLite::Exception& error) {
  const int code = primary_code_of(error);
  return code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
}

StoreError to_damaged_error(const std::filesystem::path& path, const std::string& whose,
                            const std::string& what) {
  return StoreError{StoreErrorKind::damaged,
                    path.string() + ": " + whose + ": " + what +
                        "; creditsctl check reports more, restore the ledger from a backup"};
}

StoreErrorKind kind_of_system_error(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return StoreErrorKind::full;
    case EACCES:
    case EPERM:
    case EROFS:
    case ENOENT:
    case ENOTDIR:
      return StoreErrorKind::refused;
    default:
      return StoreErrorKind::unavailable;
  }
}

StoreErrorKind kind_of(const SQLite::Exception& error) {
  // SQLite failed to grow the log's index.
  if (error.getExtendedErrorCode() == SQLITE_IOERR_SHMSIZE) return StoreErrorKind::full;
  switch (primary_code_of(error)) {
    case SQLITE_FULL:
      return StoreErrorKind::full;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_IOERR:
      return StoreErrorKind::unavailable;
    default:
      return StoreErrorKind::refused;
  }
}

StoreError to_store_error(const std::filesystem::path& path, const SQLite::Exception& error) {
  std::string hint;
  switch (primary_code_of(error)) {
    case SQLITE_FULL:
      hint = "; make room on its disk";
      break;
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      hint = "; restore it from a backup";
      break;
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
      hint = "; make it readable and writable for this user";
      break;
    default:
      break;
  }
  return StoreError{kind_of(error), path.string() + ": " + error.what() + hint};
}

StoreError to_store_error(const std::filesystem::path& path, SQLite::Database& database,
                          const SQLite::Exception& error) {
  if (primary_code_of(error) != SQLITE_IOERR) return to_store_error(path, error);
  const int reason = system_error_of(database);
  const std::string what = path.string() + ": " + error.what() +
                           (reason != 0 ? std::string{": "} + std::strerror(reason) : "");
  if (!is_without_room(database, error))
    return StoreError{kind_of(error), what + "; see to the disk"};
  return StoreError{StoreErrorKind::full, what + "; make room on its disk, or raise the limit"};
}

}  // namespace credits::persistence
