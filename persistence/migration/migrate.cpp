#include "persistence/migration/migrate.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <stdexcept>
#include <unordered_map>
#include <utility>
#include <vector>

#include "actors/base/files.hpp"
#include "actors/ledger/rules.hpp"
#include "persistence/postgres/audit.hpp"
#include "persistence/postgres/columns.hpp"
#include "persistence/postgres/schema.hpp"
#include "persistence/postgres/sql.hpp"
#include "persistence/quota_file.hpp"
#include "persistence/sqlite/audit.hpp"
#include "persistence/sqlite/directory_lock.hpp"
#include "persistence/sqlite/file.hpp"
#include "persistence/sqlite/journal.hpp"
#include "persistence/sqlite/snapshots.hpp"
#include "persistence/valid_text.hpp"

namespace credits::persistence {

namespace {

using postgres::ChainedEntry;
using postgres::ChainedRow;
using postgres::Connection;
using postgres::Parameters;
using postgres::Result;

constexpr std::size_t rows_at_once = 5'000;

void compare(const AuditReport& copy, std::uint64_t entries, std::uint64_t installs) {
  if (copy.fault || (copy.entries == entries && copy.installs == installs)) return;
  throw StoreError{StoreErrorKind::refused,
                   "the copy has " + std::to_string(copy.installs) + " installs and " +
                       std::to_string(copy.entries) + " entries, the ledger has " +
                       std::to_string(installs) + " and " + std::to_string(entries)};
}

// --- from files to a database

// Writes everything in one transaction, in parts.
class IntoPostgres {
 public:
  explicit IntoPostgres(const std::string& uri) : connection_{uri} {
    postgres::check_server(connection_);
    postgres::make_schema(connection_);
    connection_.run_script(postgres::sql::begin_durable);
    connection_.run(postgres::sql::lock_installs);
    if (connection_.run(postgres::sql::has_installs).integer(0, 0) != 0) {
      throw StoreError{
          StoreErrorKind::refused,
          "the database has a ledger with installs already; name an empty one, or another "
          "search_path"};
    }
  }

  void add_baseline(const StoredRow& baseline) {
    rows_[baseline.row.install_id] = {baseline.row, baseline.hash};
    baselines_.add(baseline.row, baseline.hash);
  }

  void add_entry(const JournalRecord& record) {
    if (const auto what = find_invalid_text(record.entry)) refuse(record, *what);
    ChainedRow& stored = rows_[record.install_id];
    stored.row.install_id = record.install_id;
    ledger::apply(stored.row, record.entry);
    stored.hash = record.hash;
    entries_.add(record.install_id, record.entry, record.hash);
    replay_keys_.add(record.install_id, record.entry);
    if (++pending_ == rows_at_once) write_entries();
  }

  void keep_quota(std::string_view quota) {
    Parameters parameters;
    parameters.add(quota);
    connection_.run(postgres::sql::replace_quota, parameters);
  }

  std::size_t finish() {
    write_entries();
    run(postgres::sql::upsert_baselines, baselines_);
    postgres::RowArrays part;
    std::size_t in_part = 0;
    for (const auto& [id, stored] : rows_) {
      part.add(stored.row, stored.hash);
      if (++in_part < rows_at_once) continue;
      run(postgres::sql::insert_rows, std::exchange(part, {}));
      in_part = 0;
    }
    run(postgres::sql::insert_rows, part);
    connection_.run_script("COMMIT");
    return rows_.size();
  }

 private:
  [[noreturn]] static void refuse(const JournalRecord& record, const std::string& what) {
    throw StoreError{StoreErrorKind::refused,
                     "install \"" + record.install_id + "\", version " +
                         std::to_string(record.entry.version) + ": its " + what +
                         " is not UTF-8, or contains a NUL, and PostgreSQL "
                         "cannot store it; nothing was copied. Take the "
                         "ledger over without its entries: creditsctl "
                         "export, correct the tier there, and import"};
  }

  template <class Arrays>
  void run(const char* statement, const Arrays& arrays) {
    Parameters parameters;
    arrays.add_to(parameters);
    connection_.run(statement, parameters);
  }

  void write_entries() {
    run(postgres::sql::insert_entries, std::exchange(entries_, {}));
    run(postgres::sql::insert_names, std::exchange(replay_keys_, {}));
    pending_ = 0;
  }

  Connection connection_;
  std::map<std::string, ChainedRow> rows_;
  postgres::RowArrays baselines_;
  postgres::EntryArrays entries_;
  postgres::ReplayKeyArrays replay_keys_;
  std::size_t pending_ = 0;
};

// --- from a database to files

// Writes the entries in one sequence, like a journal that one creditsd has written.
class IntoSqlite {
 public:
  explicit IntoSqlite(const std::filesystem::path& data_dir)
      : journal_{data_dir / journal_file, random_ledger_id()} {
    journal_.expect_writable();
  }

  void add_baselines(const std::vector<ChainedRow>& baselines) {
    if (baselines.empty()) return;
    std::unordered_map<std::string, StoredRow> stored;
    for (const ChainedRow& baseline : baselines) {
      const std::string& id = baseline.row.install_id;
      newest_[id] = ++sequence_;
      stored[id] = {baseline.row, sequence_, baseline.hash};
    }
    journal_.write_pruned(stored, sequence_);
  }

  void add_entries(const std::vector<ChainedEntry>& entries) {
    std::vector<JournalRecord> records;
    records.reserve(entries.size());
    for (const ChainedEntry& entry : entries) {
      std::uint64_t& newest = newest_[entry.install_id];
      records.push_back({++sequence_, std::exchange(newest, sequence_), entry.install_id,
                         entry.entry, entry.hash});
    }
    journal_.append(records);
  }

  std::size_t installs() const { return newest_.size(); }

 private:
  Journal journal_;
  std::uint64_t sequence_ = 0;
  std::unordered_map<std::string, std::uint64_t>
      newest_;  // sequence of each install's newest entry
};

std::vector<ChainedRow> read_baselines(Connection& connection) {
  const Result result = connection.run(postgres::sql::select_all_baselines);
  std::vector<ChainedRow> baselines;
  for (int at = 0; at < result.rows(); ++at) baselines.push_back(postgres::read_row(result, at));
  return baselines;
}

std::vector<ChainedEntry> fetch_entries(Connection& connection) {
  const Result part = connection.run(postgres::sql::fetch_entries);
  std::vector<ChainedEntry> entries;
  for (int at = 0; at < part.rows(); ++at) entries.push_back(postgres::read_entry(part, at));
  return entries;
}

// Removes the files of an unfinished copy.
class FreshDirectory {
 public:
  explicit FreshDirectory(const std::filesystem::path& directory) : directory_{directory} {
    for (const char* file : {journal_file, snapshots_file, quota_file}) {
      if (std::filesystem::exists(directory / file)) {
        throw StoreError{
            StoreErrorKind::refused,
            (directory / file).string() + " already exists; name a directory without a ledger"};
      }
    }
    std::error_code error;
    std::filesystem::create_directories(directory, error);
    if (error)
      throw StoreError{StoreErrorKind::refused,
                       "cannot create " + directory.string() + ": " + error.message()};
  }
  ~FreshDirectory() {
    if (is_kept_) return;
    for (const char* suffix : {"", "-wal", "-shm"}) {
      std::error_code ignored;
      std::filesystem::remove(directory_ / (std::string{journal_file} + suffix), ignored);
    }
  }
  FreshDirectory(const FreshDirectory&) = delete;
  FreshDirectory& operator=(const FreshDirectory&) = delete;

  void keep() {
    base::sync_directory(directory_);
    is_kept_ = true;
  }

 private:
  const std::filesystem::path directory_;
  bool is_kept_ = false;
};

}  // namespace

AuditReport migrate_to_postgres(const std::filesystem::path& data_dir, const std::string& uri,
                                const ReportMigrated& report) {
  // A damaged ledger is not copied.
  const AuditReport source = audit(data_dir);
  if (source.fault) return source;
  const DirectoryLock lock{data_dir};
  JournalReader journal{data_dir / journal_file};
  IntoPostgres into{uri};
  journal.visit_baselines([&into](const StoredRow& baseline) { into.add_baseline(baseline); });
  std::uint64_t done = 0;
  journal.visit_after(0, [&](const JournalRecord& record) {
    into.add_entry(record);
    if (report && ++done % rows_at_once == 0) report(done, source.entries);
    return true;
  });
  if (const auto quota = data_dir / quota_file; std::filesystem::exists(quota)) {
    into.keep_quota(base::read_text_file(quota));
  }
  const std::size_t installs = into.finish();
  AuditReport copy = audit_postgres(uri);
  compare(copy, source.entries, installs);
  if (report) report(source.entries, source.entries);
  return copy;
}

AuditReport migrate_to_sqlite(const std::string& uri, const std::filesystem::path& data_dir,
                              const ReportMigrated& report) {
  const AuditReport source = audit_postgres(uri);
  if (source.fault) return source;
  FreshDirectory fresh{data_dir};
  const DirectoryLock lock{data_dir};
  Connection connection{uri};
  connection.run_script(postgres::sql::begin_snapshot);
  std::size_t installs = 0;
  {
    IntoSqlite into{data_dir};
    into.add_baselines(read_baselines(connection));
    connection.run_script(postgres::sql::select_entries_by_time);
    std::uint64_t done = 0;
    for (auto part = fetch_entries(connection); !part.empty(); part = fetch_entries(connection)) {
      into.add_entries(part);
      done += part.size();
      if (report) report(done, std::max(done, source.entries));
    }
    installs = into.installs();
  }
  AuditReport copy = audit(data_dir);
  compare(copy, source.entries, installs);
  if (copy.fault) return copy;
  if (const Result quota = connection.run(postgres::sql::select_quota); quota.rows() != 0) {
    base::replace_file(data_dir / quota_file, quota.bytes(0, 0));
  }
  fresh.keep();
  return copy;
}

}  // namespace credits::persistence
