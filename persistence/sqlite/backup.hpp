// Copies a ledger of the SQLite engine to one file, whether or not its creditsd runs and writes.
//
// The journal alone is the whole ledger: its baselines stand for pruned entries, and a start
// computes rows and names from it. A copy of journal.db in an empty data directory is therefore the
// ledger as it was at one moment.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

namespace credits::persistence {

// Called from time to time with the number of pages copied so far and the total.
using ReportCopied = std::function<void(std::uint64_t done, std::uint64_t total)>;

// Writes the journal of the ledger in `data_dir` to `file`, which must be missing or empty. The
// copy has everything stored before the call, and nothing stored during it. On return the file is
// complete and marked as a backup, but not synced. Throws StoreError.
void backup(const std::filesystem::path& data_dir, const std::filesystem::path& file,
            const ReportCopied& report);

}  // namespace credits::persistence
