// The embedded engine: a journal of entries and snapshots of rows, in two SQLite files of one data
// directory. README.md in this folder says what is durable when.
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
  // Rows and names that the journal has and the snapshots have not, kept in memory. At this many,
  // append() waits for checkpoint(), for overlay_wait_max at most, and then throws.
  std::size_t overlay_rows_max = 400'000;
  std::chrono::milliseconds overlay_wait_max{10'000};
  // Called every replay_report_interval while a start brings the rows up to the journal, with the
  // entries that it has replayed and those there are. What it throws ends the start.
  std::function<void(std::uint64_t replayed, std::uint64_t total)> report_replay{};
  std::chrono::milliseconds replay_report_interval{1'000};
  // How often the replay is kept: a start after one that was ended goes on from there.
  std::chrono::milliseconds replay_checkpoint_interval{3'000};
  // How long a snapshot is read from snapshots.db; then what is left goes to a temporary file.
  std::chrono::milliseconds snapshot_hold_max{1'000};
  // Told "install_damaged" when a start or prune() passes over a damaged install, and "log_missing"
  // when journal.db was in use, and the start does not find its log.
  Tell tell{};
};

// Opens the ledger in `data_dir`, which is made if it is missing. Throws StoreError: if another
// process has it, it cannot be read or written, its files do not belong together, or they are of a
// newer schema; the text says which.
//
// After a failed sync of the journal, the outcome of that append is unknown: it throws
// a StoreError that is `broken`, as does every later one. So it is once the directory or one of its
// files has been removed, moved or replaced: append() sees what was removed, ping() the rest too.
std::unique_ptr<Store> open_sqlite_store(const std::filesystem::path& data_dir,
                                         const SqliteOptions& options = {});

}  // namespace credits::persistence
