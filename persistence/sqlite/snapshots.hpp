// snapshots.db: the row of each install as of some sequence number of the journal, which the file
// remembers. It lags behind the journal and is brought up to date in large batches, so that a row
// that is hot is written once for many commits. Beside the rows it has the names that entries are
// remembered by, and where in the journal those are.
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

// What the journal knows of an install and the file does not yet.
struct PendingRow {
  StoredRow stored;
  std::unordered_map<ledger::ReplayKey, std::uint64_t, ledger::ReplayKeyHash>
      replay_keys{};  // to sequence numbers
};

// How far the file has come.
struct Progress {
  std::uint64_t sequence = 0;  // every entry up to this one is in the rows
  std::uint64_t installs = 0;
  // The names of entries up to this one are forgotten, but for some that were dated ahead.
  std::uint64_t forgotten_sequence = 0;
};

// A name that may be forgotten, unless an entry after `sequence` has it.
struct OldReplayKey {
  std::string install_id;
  ledger::ReplayKey key;
  std::uint64_t sequence = 0;
};

// Reads rows through a connection of its own. Any thread; one at a time gets on. What is damaged is
// a StoreError of that kind, which names the install, be it one of a page of many.
class SnapshotReader {
 public:
  explicit SnapshotReader(const std::filesystem::path& path);

  std::optional<StoredRow> load(const std::string& install_id);
  // `work` loads from one read transaction, which is cheaper for many rows. While it runs, no
  // other thread may use this reader.
  template <class Work>
  void at_once(Work work) {
    on_file(path_, [&] {
      const SQLite::Transaction standing_still{database_};
      work();
    });
  }
  std::vector<ledger::Row> list(const ListQuery& query);

  // The sequence number of the name's newest entry.
  std::optional<std::uint64_t> find(const std::string& install_id, const ledger::ReplayKey& key);
  // `limit` of the install's names at most.
  std::vector<ledger::ReplayKey> replay_keys(const std::string& install_id, std::size_t limit);

 private:
  const std::filesystem::path path_;
  std::mutex mutex_;
  SQLite::Database database_;       // guarded by mutex_
  SQLite::Statement select_row_;    // guarded by mutex_
  SQLite::Statement select_page_;   // guarded by mutex_
  SQLite::Statement select_name_;   // guarded by mutex_
  SQLite::Statement select_names_;  // guarded by mutex_
};

// Writes rows. One thread at a time.
class SnapshotWriter {
 public:
  // Makes the file, with `ledger_id`, if it is missing. Throws StoreError.
  SnapshotWriter(const std::filesystem::path& path, const std::string& ledger_id);

  std::string ledger_id();
  Progress progress();

  // All rows with their names and the new sequence and installs of the progress, or nothing. A
  // power cut may take the last of these back, which does no harm, as the journal has it. Throws
  // StoreError.
  void write(const std::vector<const PendingRow*>& rows, const Progress& progress);

  // All names and the new mark, durably, or nothing: what they have named may be pruned then.
  // Throws StoreError.
  void forget(const std::vector<OldReplayKey>& replay_keys, std::uint64_t forgotten_sequence);

  void expect_writable() {
    persistence::expect_writable(path_, database_, [this] { write_again(database_); });
  }
  // To be asked now and then: the log is small again when nobody keeps it from that. Throws
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

// All rows as of now, through a connection of its own. While it reads the file, the log of the file
// grows with each write; so after `hold_max` it takes what is left to a temporary file of SQLite's,
// and lets go. Where that cannot be made it reads on.
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
  // How many names lead to entries after `sequence`.
  std::uint64_t replay_keys_after(std::uint64_t sequence);

 private:
  // What was left when the cursor let go of the file.
  struct Rest {
    Rest();
    SQLite::Database database;
    SQLite::Statement insert;
    SQLite::Statement select;
  };

  // Goes on behind the last row that was returned.
  void read_on();
  void let_go();

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
