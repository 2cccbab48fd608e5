// journal.db: the entries of all installs, in the order in which they were stored. It is the audit
// trail and the write-ahead log of the rows at once: an entry is inserted once, with group commit,
// and never changed.
//
// Each entry knows the sequence number of the one before it of the same install, so that an
// install's history needs no second index, which would cost a page for each commit. The oldest
// entries may be pruned; for each install that loses some, a baseline row stands for them.
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

// An entry at its place in the journal. The references live as long as the call they are passed to.
struct JournalRecord {
  std::uint64_t sequence = 0;
  std::uint64_t previous_sequence = 0;  // of the same install; 0: none
  const std::string& install_id;
  const ledger::Entry& entry;
  std::optional<Hash> hash;  // none: from before entries had hashes
};

// Called with one record after the other, as long as it returns true.
using VisitRecord = std::function<bool(const JournalRecord&)>;

// Reads through a connection of its own. Any thread; one at a time gets on. Where single entries
// are read, each is compared with its hash: a StoreError that is `damaged` says which one.
class JournalReader {
 public:
  explicit JournalReader(const std::filesystem::path& path);

  // The install's entry of that number; nothing if it has been pruned.
  std::optional<ledger::Entry> entry(const std::string& install_id, std::uint64_t sequence);

  // The entries of one install, newest first, from `last_sequence` back: `limit` of those with
  // versions below `before_version`.
  std::vector<ledger::Entry> entries(const std::string& install_id, std::uint64_t last_sequence,
                                     std::uint64_t before_version, std::size_t limit);

  // The records after `sequence`, in order.
  void visit_after(std::uint64_t sequence, const VisitRecord& visit);

  std::string ledger_id();

  // Of the newest entry that has not been pruned; nothing if there is none.
  std::optional<ledger::Time> newest_time();

  // 0: nothing has been pruned.
  std::uint64_t pruned_sequence();
  void visit_baselines(const std::function<void(StoredRow)>& visit);

  // What follows sees the file as it is now.
  void stand_still();

 private:
  // Whether select_entry_ stands on the install's entry of that number now; not if it is pruned.
  bool select(const std::string& install_id, std::uint64_t sequence);
  // Of what it stands on.
  ledger::Entry selected_entry();
  std::optional<Hash> hash_before_selected(const std::string& id);
  [[noreturn]] void throw_selected_damaged();

  const std::filesystem::path path_;
  std::mutex mutex_;
  SQLite::Database database_;  // guarded by mutex_, as is all below
  SQLite::Statement select_entry_;
  SQLite::Statement select_hash_;
  Hasher hasher_;
};

// Called with an install whose entries stay as they are, and why.
using TellDamaged = std::function<void(const std::string& install_id, const StoreError& reason)>;

// Throws StoreError if the journal in `data_dir` is a backup, and the log or the snapshots beside
// it are not.
void expect_own_files(const std::filesystem::path& data_dir);

// Throws StoreError if a journal that has come to `last_sequence` and whose log is missing has
// nothing but what it began with.
void expect_entries_without_log(const std::filesystem::path& path, std::uint64_t last_sequence);

// What may be missing where the log is, in words.
std::string missing_log_in_words(const std::filesystem::path& path);

// What becomes of an entry that could be pruned.
enum class Fate : std::uint8_t { goes, stays, ends };  // the last: neither it nor what comes after

using JudgeRecord = std::function<Fate(const JournalRecord&)>;

// How far pruning has looked, and whether there is more to look at.
struct Pruned {
  std::uint64_t sequence = 0;
  bool has_more = false;
};

class Journal {
 public:
  // Makes the file, with `ledger_id`, if it is missing. Throws StoreError.
  Journal(const std::filesystem::path& path, const std::string& ledger_id);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  const std::string& ledger_id() const { return ledger_id_; }

  // Of the newest entry that was ever stored; 0: none was.
  std::uint64_t last_sequence();

  // One transaction, synced when it returns. Throws StoreError: nothing is stored, unless the disk
  // kept what it said it could not write, and the process ends before the next write. Throws
  // StoreError that is `broken`: a sync has failed, the outcome is unknown, and every later write
  // throws too.
  // One thread at a time.
  void append(const std::vector<JournalRecord>& records);

  // A write that changes nothing, as durable as an append. Throws as that does.
  void probe();

  // Marks the file as in use until this ends. Throws StoreError if it cannot be written. Before any
  // other thread writes.
  void expect_writable();

  // Throws a StoreError that is `broken` for this reason, as does every later write. Any thread.
  [[noreturn]] void give_up(const std::string& reason);

  // Throws a StoreError that is `broken` if every write will. Any thread; waits for none.
  void expect_unbroken() const;

  // To be asked now and then: the log is small again when nobody keeps it from that. Throws as
  // append() does. Any thread.
  void shrink_log();

  // Whether the file had been in use, and its log was not there any more when it was opened.
  bool is_log_missing() const { return is_log_missing_; }

  // Puts `baselines` in the place of the entries up to `last_pruned`. Throws as append() does.
  void write_pruned(const std::unordered_map<std::string, StoredRow>& baselines,
                    std::uint64_t last_pruned) {
    write_pruned(baselines, {{0, last_pruned}}, last_pruned);
  }

  // Looks at the entries after `after`, `limit` at most and up to the first that ends it, prunes
  // those that may go, and brings the baselines up to them. Of an install only the oldest go: what
  // follows one that stays, or damage, stays too. Any thread, one at a time; an append waits while
  // it writes. Throws as append() does.
  Pruned prune(std::uint64_t after, std::size_t limit, const JudgeRecord& judge,
               const TellDamaged& tell_damaged);

  // Entries after this one have never been pruned.
  std::uint64_t pruned_sequence();

 private:
  // From the first to the last, both of them.
  using Range = std::pair<std::uint64_t, std::uint64_t>;

  void insert(const JournalRecord& record);
  // An entry that stays, as a later one finds it.
  struct Kept {
    std::optional<Hash> hash;
  };

  // Of the entry of that number of the install, if it is there.
  std::optional<Kept> kept(const std::string& install_id, std::uint64_t sequence);
  // Whether it follows the baseline, and not an entry that stays.
  bool is_oldest(const JournalRecord& record, const StoredRow& baseline);
  void fold(const JournalRecord& record, StoredRow& baseline);
  StoredRow baseline_of(const std::string& install_id);
  [[noreturn]] void throw_damaged(const JournalRecord& record, const std::string& what) const;
  void write_pruned(const std::unordered_map<std::string, StoredRow>& baselines,
                    const std::vector<Range>& pruned, std::uint64_t last_pruned);

  // Runs `work` as one synced transaction.
  template <class Work>
  void write(Work work);
  // Runs it as it is, and knows its failures.
  template <class Work>
  void guarded(Work work);

  const std::filesystem::path path_;
  const bool is_log_missing_;
  bool is_in_use_ = false;
  std::mutex mutex_;
  SQLite::Database writer_;  // guarded by mutex_, as is all below
  const std::string ledger_id_;
  SQLite::Statement insert_entry_;
  SQLite::Statement insert_import_;

  SQLite::Database pruning_reader_;  // the pruning thread's
  Hasher pruning_hasher_;            // the pruning thread's

  mutable std::mutex broken_mutex_;
  std::string broken_;  // guarded by broken_mutex_; why every write fails, if it does
};

}  // namespace credits::persistence
