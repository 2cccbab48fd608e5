// Copies a whole ledger from one engine to the other: entries with their hashes, keys and answers,
// reservations, and the rows that stand for pruned entries. The copy is checked, and gets a ledger
// id of its own.
//
// Nothing may write to the source meanwhile. A data directory is locked; the nodes of a database
// must be stopped by the operator. Names that the source has forgotten may be remembered again for
// a while.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "persistence/audit.hpp"

namespace credits::persistence {

// Called from time to time with the number of entries copied so far and the total.
using ReportMigrated = std::function<void(std::uint64_t done, std::uint64_t total)>;

// Copies into a database without installs, in one transaction. Returns the report on the copy's
// check. Throws StoreError if the ledger is in use or damaged, or the database has installs or
// cannot be written.
AuditReport migrate_to_postgres(const std::filesystem::path& data_dir, const std::string& uri,
                                const ReportMigrated& report = {});

// Copies into a directory without a ledger, and creates it if it is missing. Throws StoreError,
// after removing the unfinished copy.
AuditReport migrate_to_sqlite(const std::string& uri, const std::filesystem::path& data_dir,
                              const ReportMigrated& report = {});

}  // namespace credits::persistence
