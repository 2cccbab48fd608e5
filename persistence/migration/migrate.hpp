// Copies a whole ledger from one engine to the other: entries with their hashes, keys and answers,
// reservations, and the rows that pruned entries led to. The copy is checked, and has another
// ledger id.
//
// Nobody may write meanwhile: of files that is made sure, of a database the operator has to stop
// its nodes. Names that the source has forgotten may be remembered again for a while.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "persistence/audit.hpp"

namespace credits::persistence {

// Called now and then with the entries that have been copied, and with those there are.
using ReportMigrated = std::function<void(std::uint64_t done, std::uint64_t total)>;

// Into a database that has no installs yet, in one transaction. Returns what the check of the copy
// says. Throws StoreError: the ledger is in use or damaged, the database has installs, or cannot be
// written.
AuditReport migrate_to_postgres(const std::filesystem::path& data_dir, const std::string& uri,
                                const ReportMigrated& report = {});

// Into a directory without a ledger, which is made if it is missing. Throws StoreError; what was
// written of the copy is removed then.
AuditReport migrate_to_sqlite(const std::string& uri, const std::filesystem::path& data_dir,
                              const ReportMigrated& report = {});

}  // namespace credits::persistence
