// journal.db: the entries of all installs, in the order in which they were stored. It is the audit
// trail and the write-ahead log of the rows at once: an entry is inserted once, with group commit,
// and never changed.
//
// Each entry knows the sequence number of the one before it of the same install, so that an
// install's history needs no second index, which would cost a page for each commit.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "actors/ledger/entry.hpp"

namespace credits::persistence {

// An entry at its place in the journal. The references live as long as the call they are passed to.
struct JournalRecord {
  std::uint64_t sequence = 0;
  std::uint64_t previous_sequence = 0;  // of the same install; 0: none
  const std::string& install_id;
  const ledger::Entry& entry;
};

class Journal {
 public:
  // Makes the file, with `ledger_id`, if it is missing. Throws StoreError.
  Journal(const std::filesystem::path& path, const std::string& ledger_id);

  const std::string& ledger_id() const { return ledger_id_; }

  // 0 if it is empty.
  std::uint64_t last_sequence();

  // One transaction, synced when it returns. Throws StoreError having stored nothing, or
  // StoreBrokenError: the disk has failed, the outcome is unknown, and every later append throws
  // too.
  void append(const std::vector<JournalRecord>& records);

  // Calls `visit` for each record after `sequence`, in order.
  void replay(std::uint64_t after_sequence, const std::function<void(const JournalRecord&)>& visit);

  // The entries of one install, newest first, from `last_sequence` back: `limit` of those with
  // versions below `before_version`. Any thread.
  std::vector<ledger::Entry> entries(std::uint64_t last_sequence, std::uint64_t before_version,
                                     std::size_t limit);

 private:
  void insert(const JournalRecord& record);
  [[noreturn]] void throw_broken(const std::string& reason) const;

  const std::filesystem::path path_;
  SQLite::Database writer_;
  std::string ledger_id_;
  SQLite::Statement insert_entry_;
  SQLite::Statement insert_import_;
  bool is_broken_ = false;

  std::mutex reader_mutex_;
  SQLite::Database reader_;         // guarded by reader_mutex_
  SQLite::Statement select_entry_;  // guarded by reader_mutex_
};

}  // namespace credits::persistence
