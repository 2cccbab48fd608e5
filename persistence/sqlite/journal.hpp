// journal.db: the entries of all installs, in the order in which they were stored. It is both the
// audit trail and the write-ahead log of the rows: an entry is inserted once, with group commit,
// and never changed.
//
// Each entry has the sequence number of the install's previous entry, so an install's history needs
// no second index, which would cost a page for each commit. The oldest entries may be pruned; a
// baseline row stands for the pruned entries of each install.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "actors/ledger/entry.hpp"
#include "persistence/chain.hpp"
#include "persistence/sqlite/file.hpp"
#include "persistence/sqlite/row_table.hpp"

namespace credits::persistence {

inline constexpr const char* journal_file = "journal.db";

// An entry and its position in the journal. The references are valid only during the call that
// receives them.
struct JournalRecord {
  std::uint64_t sequence = 0;
  std::uint64_t previous_sequence = 0;  // of the same install; 0: none
  const std::string& install_id;
  const ledger::Entry& entry;
  std::optional<Hash> hash;  // none: written before entries had hashes
};

// Called with each record in turn, until it returns false.
using VisitRecord = std::function<bool(const JournalRecord&)>;

// Reads through its own connection. Thread-safe; calls are serialised. Entries that are read singly
// are compared with their hashes; a mismatch throws a StoreError of kind `damaged` that names the
// entry.
class JournalReader {
 public:
  explicit JournalReader(const std::filesystem::path& path);

  // The install's entry with that sequence number; nullopt if it has been pruned.
  std::optional<ledger::Entry> entry(const std::string& install_id, std::uint64_t sequence);

  // The entries of one install from `last_sequence` back, newest first: at most `limit` of those
  // with versions below `before_version`.
  std::vector<ledger::Entry> entries(const std::string& install_id, std::uint64_t last_sequence,
                                     std::uint64_t before_version, std::size_t limit);

  // The records after `sequence`, in order.
  void visit_after(std::uint64_t sequence, const VisitRecord& visit);

  std::string ledger_id();

  // The time of the newest entry that has not been pruned; nullopt if there is none.
  std::optional<ledger::Time> newest_time();

  // Up to which entry the journal has been pruned; 0: not at all.
  std::uint64_t pruned_sequence();
  void visit_baselines(const std::function<void(StoredRow)>& visit);

  // All later reads see the file as it is now.
  void begin_snapshot();

 private:
  // Moves select_entry_ to the install's entry with that number. Returns false if it is pruned.
  bool select(const std::string& install_id, std::uint64_t sequence);
  // These read the entry that select_entry_ is on.
  ledger::Entry selected_entry();
  std::optional<Hash> hash_before_selected(const std::string& id);
  [[noreturn]] void throw_selected_damaged();

  const std::filesystem::path path_;
  std::mutex mutex_;
  SQLite::Database database_;  // guarded by mutex_, like all members below
  SQLite::Statement select_entry_;
  SQLite::Statement select_hash_;
  Hasher hasher_;
};

// Called with an install whose entries are not pruned, and the reason.
using ReportDamaged = std::function<void(const std::string& install_id, const StoreError& reason)>;

// Throws StoreError if the journal in `data_dir` is a backup but has the log or the snapshots of
// another ledger beside it.
void expect_own_files(const std::filesystem::path& data_dir);

// Throws StoreError if a journal without its log has no entry; `last_sequence` is that of its
// newest one.
void expect_entries_without_log(const std::filesystem::path& path, std::uint64_t last_sequence);

// Describes a journal whose log is missing.
std::string missing_log_in_words(const std::filesystem::path& path);

// The decision about an entry that could be pruned. `ends` keeps it and every later one.
enum class Fate : std::uint8_t { goes, stays, ends };

using JudgeRecord = std::function<Fate(const JournalRecord&)>;

// How far pruning has looked, and whether entries remain to be looked at.
struct Pruned {
  std::uint64_t sequence = 0;
  bool has_more = false;
};

class Journal {
 public:
  // Creates the file, with `ledger_id`, if it is missing. Throws StoreError.
  Journal(const std::filesystem::path& path, const std::string& ledger_id);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  const std::string& ledger_id() const { return ledger_id_; }

  // The sequence number of the newest entry ever stored; 0: there was none.
  std::uint64_t last_sequence();

  // Stores the records in one transaction, synced on return. After a StoreError nothing is stored,
  // unless the disk kept a write that it reported as failed and the process ends before the next
  // write. After one of kind `broken` a sync has failed, the outcome is unknown, and every later
  // write throws too. One thread at a time.
  void append(const std::vector<JournalRecord>& records);

  // Makes a write that changes nothing, as durable as an append. Throws as append() does.
  void probe();

  // Marks the file as in use for the lifetime of this object. Throws StoreError if the file cannot
  // be written. Called before any other thread writes.
  void expect_writable();

  // Throws a StoreError of kind `broken` with this reason, and makes every later write throw it.
  // Any thread.
  [[noreturn]] void give_up(const std::string& reason);

  // Throws a StoreError of kind `broken` if every write would. Any thread; never waits for a write.
  void expect_unbroken() const;

  // Shrinks a large log unless there is a reader. To be called from time to time. Throws as
  // append() does. Any thread.
  void shrink_log();

  // Whether the file was in use and its log was missing when it was opened.
  bool is_log_missing() const { return is_log_missing_; }

  // Replaces the entries up to `last_pruned` by `baselines`. Throws as append() does.
  void write_pruned(const std::unordered_map<std::string, StoredRow>& baselines,
                    std::uint64_t last_pruned) {
    write_pruned(baselines, {{0, last_pruned}}, last_pruned);
  }

  // Looks at the entries after `after`, at most `limit` and up to the first for which `judge`
  // returns `ends`. Prunes those that may go, and folds them into the baselines. Only the oldest
  // entries of an install go: those after one that stays, or after damage, stay too. Any thread,
  // one at a time; an append waits during the write. Throws as append() does.
  Pruned prune(std::uint64_t after, std::size_t limit, const JudgeRecord& judge,
               const ReportDamaged& report_damaged);

  // Entries after this one were never pruned.
  std::uint64_t pruned_sequence();

 private:
  // The first and the last sequence number, inclusive.
  using Range = std::pair<std::uint64_t, std::uint64_t>;

  void insert(const JournalRecord& record);
  // A kept entry, as seen by the one after it.
  struct Kept {
    std::optional<Hash> hash;
  };

  // The install's entry with that number; nullopt if it is missing.
  std::optional<Kept> kept(const std::string& install_id, std::uint64_t sequence);
  // Whether the record follows the baseline, and not an entry that stays.
  bool is_oldest(const JournalRecord& record, const StoredRow& baseline);
  void fold(const JournalRecord& record, StoredRow& baseline);
  StoredRow baseline_of(const std::string& install_id);
  [[noreturn]] void throw_damaged(const JournalRecord& record, const std::string& what) const;
  void write_pruned(const std::unordered_map<std::string, StoredRow>& baselines,
                    const std::vector<Range>& pruned, std::uint64_t last_pruned);

  // Runs `work` as one synced transaction.
  template <class Work>
  void write(Work work);
  // Runs `work`, and turns its failures into StoreErrors.
  template <class Work>
  void guarded(Work work);

  const std::filesystem::path path_;
  const bool is_log_missing_;
  bool is_in_use_ = false;
  std::mutex mutex_;
  SQLite::Database writer_;  // guarded by mutex_, like the members up to insert_import_
  const std::string ledger_id_;
  SQLite::Statement insert_entry_;
  SQLite::Statement insert_import_;

  SQLite::Database pruning_reader_;  // the pruning thread's
  Hasher pruning_hasher_;            // the pruning thread's

  mutable std::mutex broken_mutex_;
  std::string broken_;  // guarded by broken_mutex_; why every write fails; empty: they do not
};

}  // namespace credits::persistence
