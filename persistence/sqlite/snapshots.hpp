// snapshots.db: the row of each install as of a sequence number of the journal, which the file
// stores. It lags behind the journal and is updated in large batches, so that a hot row is written
// once for many commits. Beside the rows it has the names by which entries are remembered, with the
// entries' sequence numbers.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "persistence/sqlite/file.hpp"
#include "persistence/sqlite/row_table.hpp"
#include "persistence/store.hpp"

namespace credits::persistence {

inline constexpr const char* snapshots_file = "snapshots.db";

// The part of an install that is in the journal but not yet in the file.
struct PendingRow {
  StoredRow stored;
  std::unordered_map<ledger::ReplayKey, std::uint64_t, ledger::ReplayKeyHash>
      replay_keys{};  // to sequence numbers
};

// How much of the journal the file covers.
struct Progress {
  std::uint64_t sequence = 0;  // every entry up to this one is in the rows
  std::uint64_t installs = 0;
  // The names of entries up to this one are forgotten, except for some that were dated ahead.
  std::uint64_t forgotten_sequence = 0;
};

// A name to forget, unless an entry after `sequence` has it.
struct OldReplayKey {
  std::string install_id;
  ledger::ReplayKey key;
  std::uint64_t sequence = 0;
};

// Reads rows through its own connection. Thread-safe; calls are serialised. Damage throws a
// StoreError of kind `damaged` that names the install, even in a page of many.
class SnapshotReader {
 public:
  explicit SnapshotReader(const std::filesystem::path& path);

  std::optional<StoredRow> load(const std::string& install_id);
  // Runs `work`, which loads from one read transaction: cheaper for many rows. Meanwhile no other
  // thread may use this reader.
  template <class Work>
  void at_once(Work work) {
    on_file(path_, [&] {
      const SQLite::Transaction snapshot{database_};
      work();
    });
  }
  std::vector<ledger::Row> list(const ListQuery& query);

  // The sequence number of the name's newest entry.
  std::optional<std::uint64_t> find(const std::string& install_id, const ledger::ReplayKey& key);
  // At most `limit` of the install's names.
  std::vector<ledger::ReplayKey> replay_keys(const std::string& install_id, std::size_t limit);

 private:
  const std::filesystem::path path_;
  std::mutex mutex_;
  SQLite::Database database_;       // guarded by mutex_, but in at_once()
  SQLite::Statement select_row_;    // guarded by mutex_
  SQLite::Statement select_page_;   // guarded by mutex_
  SQLite::Statement select_name_;   // guarded by mutex_
  SQLite::Statement select_names_;  // guarded by mutex_
};

// Writes rows. One thread at a time.
class SnapshotWriter {
 public:
  // Creates the file, with `ledger_id`, if it is missing. Throws StoreError.
  SnapshotWriter(const std::filesystem::path& path, const std::string& ledger_id);

  std::string ledger_id();
  Progress progress();

  // Writes the rows with their names, and the sequence number and installs of `progress`, in one
  // transaction. A power cut may undo the latest transactions, which does no harm: the journal has
  // their content. Throws StoreError.
  void write(const std::vector<const PendingRow*>& rows, const Progress& progress);

  // Forgets the names and stores the new mark, in one durable transaction; the entries may then be
  // pruned. Throws StoreError.
  void forget(const std::vector<OldReplayKey>& replay_keys, std::uint64_t forgotten_sequence);

  void expect_writable() {
    persistence::expect_writable(path_, database_, [this] { write_again(database_); });
  }
  // Shrinks a large log unless there is a reader. To be called from time to time. Throws
  // StoreError.
  void shrink_log();
  void leave_log() { persistence::leave_log(database_, true); }

 private:
  void execute(const char* statement, std::uint64_t parameter);

  const std::filesystem::path path_;
  SQLite::Database database_;
  SQLite::Statement upsert_row_;
  SQLite::Statement upsert_name_;
  SQLite::Statement update_progress_;
};

// All rows as of now, through its own connection. While the cursor reads the file, the file's log
// grows with each write. After `hold_max` it therefore copies the remaining rows to a temporary
// file of SQLite's and releases the file. If that fails, it reads on.
class SnapshotCursor : public RowCursor {
 public:
  static constexpr std::chrono::milliseconds hold_to_the_end = std::chrono::hours{24 * 365};

  explicit SnapshotCursor(const std::filesystem::path& path,
                          std::chrono::milliseconds hold_max = hold_to_the_end);

  std::optional<ledger::Row> next() override;
  std::optional<StoredRow> next_stored();
  Progress progress();
  std::string ledger_id();
  // The sequence number of the name's newest entry.
  std::optional<std::uint64_t> find(const std::string& install_id, const ledger::ReplayKey& key);
  // The number of names that lead to entries after `sequence`.
  std::uint64_t replay_keys_after(std::uint64_t sequence);

 private:
  // The rows that remained when the cursor released the file.
  struct Rest {
    Rest();
    SQLite::Database database;
    SQLite::Statement insert;
    SQLite::Statement select;
  };

  // Continues after the last row that was returned.
  void read_on();
  void release_file();

  const std::filesystem::path path_;
  SQLite::Database database_;
  SQLite::Statement select_;
  SQLite::Statement select_name_;
  std::unique_ptr<Rest> rest_;
  std::chrono::steady_clock::time_point hold_until_;
  bool has_row_ = false;
  std::string last_id_;
};

}  // namespace credits::persistence
