#include "persistence/sqlite/log.hpp"

#include <sqlite3.h>

#include <array>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>

#include "persistence/sqlite/file.hpp"
#include "persistence/store.hpp"

namespace credits::persistence {

namespace {

namespace fs = std::filesystem;

// SQLite's file format, https://sqlite.org/fileformat2.html; numbers are big-endian.
constexpr std::string_view magic{"SQLite format 3\0", 16};
constexpr std::size_t header_bytes = 100;
constexpr std::size_t read_version_at = 19;
constexpr char with_log = 2;
constexpr std::size_t schema_cookie_at = 40;
constexpr std::size_t application_id_at = 68;
constexpr std::int64_t lock_byte = 0x40000000;  // the page that contains it is never used

constexpr std::size_t log_header_bytes = 32;
constexpr std::size_t log_salts_at = 16;
constexpr std::size_t frame_header_bytes = 24;
constexpr std::size_t frame_salts_at = 8;
constexpr std::size_t salts_bytes = 8;

template <std::size_t size>
std::uint32_t number_at(const std::array<char, size>& bytes, std::size_t at) {
  std::uint32_t number = 0;
  for (std::size_t i = at; i < at + 4; ++i) {
    number = number << 8U | static_cast<unsigned char>(bytes.at(i));
  }
  return number;
}

// The header of a file, regardless of its log.
struct Header {
  bool has_log = false;  // or had one, and was not closed since
  bool is_blank = false;
  Mark mark = Mark::none;
};

// Returns nullopt if the file is empty or not SQLite's. Reads through SQLite: closing another
// descriptor of a file that SQLite has open in this process would release SQLite's locks on it.
std::optional<Header> read_header(const fs::path& path) {
  SQLite::Database database = open_reader(path);
  ::sqlite3_file* file = nullptr;
  ::sqlite3_file_control(database.getHandle(), "main", SQLITE_FCNTL_FILE_POINTER, &file);
  std::array<char, header_bytes> bytes{};
  if (file == nullptr || file->pMethods == nullptr ||
      file->pMethods->xRead(file, bytes.data(), header_bytes, 0) != SQLITE_OK ||
      std::string_view{bytes.data(), magic.size()} != magic) {
    return std::nullopt;
  }
  return Header{bytes[read_version_at] == with_log, number_at(bytes, schema_cookie_at) == 0,
                static_cast<Mark>(number_at(bytes, application_id_at))};
}

// 0: the log is missing or empty.
std::uintmax_t log_bytes(const fs::path& path) {
  std::error_code missing;
  const auto bytes = fs::file_size(log_of(path), missing);
  return missing ? 0 : bytes;
}

// The pages whose frames SQLite may read: those with the salts of the log's header.
std::unordered_set<std::int64_t> pages_in_log(const fs::path& path, std::int64_t page_bytes) {
  std::unordered_set<std::int64_t> pages;
  std::ifstream log{log_of(path), std::ios::binary};
  std::array<char, log_header_bytes> header{};
  std::array<char, frame_header_bytes> frame{};
  log.read(header.data(), header.size());
  const std::string_view salts{&header[log_salts_at], salts_bytes};
  while (log.read(frame.data(), frame.size()) &&
         std::string_view{&frame[frame_salts_at], salts_bytes} == salts) {
    pages.insert(number_at(frame, 0));
    log.seekg(page_bytes, std::ios::cur);
  }
  return pages;
}

}  // namespace

void write_mark(SQLite::Database& database, Mark mark) {
  database.exec("PRAGMA application_id = " + std::to_string(static_cast<std::int32_t>(mark)));
}

Mark read_mark(SQLite::Database& database) {
  return static_cast<Mark>(database.execAndGet("PRAGMA application_id").getInt());
}

fs::path log_of(const fs::path& path) { return path.string() + "-wal"; }

void expect_own_log(const fs::path& path) {
  // In this order: a file's header says that it has a log before anything is written to the log.
  if (log_bytes(path) == 0 || !fs::exists(path)) return;
  const auto header = read_header(path);
  if (!header || header->has_log) return;
  throw StoreError{
      StoreErrorKind::refused,
      path.string() + " has no log, as a backup has none: " + log_of(path).string() +
          " is of another file, that was here before; to restore the backup, remove all "
          "other files of the old ledger, journal.db-wal, journal.db-shm and snapshots.db*"};
}

void expect_file_of_log(const fs::path& path) {
  std::error_code missing;
  const bool has_file = fs::file_size(path, missing) > 0 && !missing;
  if (has_file || log_bytes(path) == 0) return;
  throw StoreError{StoreErrorKind::refused,
                   path.string() + " is missing or empty, but its log, " + log_of(path).string() +
                       ", is there; put the file back, or restore a backup in another directory"};
}

void expect_whole_pages(const fs::path& path, SQLite::Database& database) {
  const SQLite::Transaction standing_still{database};
  const auto page_bytes = database.execAndGet("PRAGMA page_size").getInt64();
  const auto pages = database.execAndGet("PRAGMA page_count").getInt64();
  const auto bytes = static_cast<std::int64_t>(fs::file_size(path));
  if (log_bytes(path) == 0) {
    // SQLite reads the missing part of a page as zeros, without an error.
    if (bytes % page_bytes == 0) return;
    throw StoreError{StoreErrorKind::refused,
                     path.string() + " was cut short; restore it from a backup"};
  }
  if (bytes / page_bytes >= pages) return;
  const auto in_log = pages_in_log(path, page_bytes);
  for (auto page = bytes / page_bytes + 1; page <= pages; ++page) {
    if (in_log.contains(page) || page == lock_byte / page_bytes + 1) continue;
    throw StoreError{
        StoreErrorKind::refused,
        path.string() + " lacks page " + std::to_string(page) + " of " + std::to_string(pages) +
            ", and its log, " + log_of(path).string() +
            ", does too: the file was cut short, or the log is of another file; restore "
            "a backup, in a directory without the other files of the ledger"};
  }
}

bool is_backup(const fs::path& path) {
  if (!fs::exists(path)) return false;
  const auto header = read_header(path);
  return header && header->mark == Mark::backup && !header->has_log;
}

bool is_log_missing(const fs::path& path) {
  if (log_bytes(path) > 0 || !fs::exists(path)) return false;
  const auto header = read_header(path);
  if (!header || !header->has_log) return false;
  if (header->is_blank) {
    throw StoreError{StoreErrorKind::refused,
                     path.string() + " has nothing by itself, and its log, " +
                         log_of(path).string() +
                         ", is missing; put the log beside it, or remove it to begin a new ledger"};
  }
  return header->mark == Mark::in_use;
}

}  // namespace credits::persistence
