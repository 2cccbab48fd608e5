// Copies a ledger of the SQLite engine to one file, whether or not its creditsd runs and writes.
//
// The journal alone is the whole ledger: what pruning took from its entries is in its baselines,
// and rows and names are made again from it at a start. So the copy of journal.db, put as
// journal.db into an empty data directory, is the ledger as it was at one moment.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

namespace credits::persistence {

// Called now and then, with pages.
using ReportCopied = std::function<void(std::uint64_t done, std::uint64_t total)>;

// Writes the journal of the ledger in `data_dir` to `file`, which is missing or empty: all that was
// stored before the call, and of what is stored meanwhile nothing. The file is whole when this
// returns, and marked as a backup, but not synced. Throws StoreError.
void backup(const std::filesystem::path& data_dir, const std::filesystem::path& file,
            const ReportCopied& report);

}  // namespace credits::persistence
