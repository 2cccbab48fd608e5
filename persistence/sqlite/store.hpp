// The embedded engine: a journal of entries and snapshots of rows, in two SQLite files of one data
// directory. persistence/README.md says what is durable when.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>

#include "persistence/store.hpp"

namespace credits::persistence {

struct SqliteOptions {
  // Maximum number of rows and names in memory that the snapshots do not have yet. At this number,
  // append() waits for checkpoint(), for overlay_wait_max at most, and then throws.
  std::size_t overlay_rows_max = 400'000;
  std::chrono::milliseconds overlay_wait_max{10'000};
  // Called every replay_report_interval while a start replays the journal, with the number of
  // entries replayed so far and the total. An exception from it ends the start.
  std::function<void(std::uint64_t replayed, std::uint64_t total)> report_replay{};
  std::chrono::milliseconds replay_report_interval{1'000};
  // How often the replay is saved: a start after an interrupted one continues from there.
  std::chrono::milliseconds replay_checkpoint_interval{3'000};
  // How long a snapshot reads snapshots.db; the remaining rows then go to a temporary file.
  std::chrono::milliseconds snapshot_hold_max{1'000};
  // Receives "install_damaged" when a start or prune() skips a damaged install, and "log_missing"
  // when journal.db was in use but the start does not find its log.
  Report report{};
};

// Opens the ledger in `data_dir`, and creates the directory if it is missing. Throws StoreError if
// another process has the directory, it cannot be read or written, its files do not belong
// together, or they have a newer schema; the text says which.
//
// After a failed sync of the journal the outcome of that append is unknown: it throws a StoreError
// of kind `broken`, and so does every later one. The same holds once the directory or one of its
// files has been removed, moved or replaced: append() notices a removed file, ping() the other
// cases too.
std::unique_ptr<Store> open_sqlite_store(const std::filesystem::path& data_dir,
                                         const SqliteOptions& options = {});

}  // namespace credits::persistence
