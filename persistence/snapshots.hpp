// snapshots.db: the row of each install as of some sequence number of the journal, which the file
// remembers. It lags behind the journal and is brought up to date in large batches, so that a row
// that is hot is written once for many commits.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "persistence/store.hpp"

namespace credits::persistence {

struct StoredRow {
  ledger::Row row;
  std::uint64_t last_sequence = 0;  // of its newest entry
};

// How far the rows have come.
struct Progress {
  std::uint64_t sequence = 0;  // every entry up to this one is in the rows
  std::uint64_t installs = 0;
};

// Reads rows through a connection of its own. Any thread; one at a time gets on.
class SnapshotReader {
 public:
  explicit SnapshotReader(const std::filesystem::path& path);

  std::optional<StoredRow> load(const std::string& install_id);
  std::vector<ledger::Row> list(const ListQuery& query);

 private:
  const std::filesystem::path path_;
  std::mutex mutex_;
  SQLite::Database database_;      // guarded by mutex_
  SQLite::Statement select_row_;   // guarded by mutex_
  SQLite::Statement select_page_;  // guarded by mutex_
};

// Writes rows. One thread at a time.
class SnapshotWriter {
 public:
  // Makes the file, with `ledger_id`, if it is missing. Throws StoreError.
  SnapshotWriter(const std::filesystem::path& path, const std::string& ledger_id);

  std::string ledger_id();
  Progress progress();

  // All rows and the new progress, or nothing. A power cut may take the last of these back, which
  // does no harm, as the journal has it. Throws StoreError.
  void write(const std::vector<const StoredRow*>& rows, const Progress& progress);

 private:
  const std::filesystem::path path_;
  SQLite::Database database_;
  SQLite::Statement upsert_row_;
  SQLite::Statement update_progress_;
};

// All rows as of now, through a connection of its own.
std::unique_ptr<RowCursor> open_cursor(const std::filesystem::path& path);

}  // namespace credits::persistence
