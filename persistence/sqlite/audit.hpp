// Checks a whole ledger of the SQLite engine against itself: each row is the result of the
// install's entries, by the same apply() that the service uses; no entry is missing; every hash of
// the chain is right; each name finds its entry; and SQLite finds its files intact. It only reads,
// and may run beside the creditsd that owns the ledger.
#pragma once

#include <filesystem>

#include "persistence/audit.hpp"

namespace credits::persistence {

// Keeps one row of each install in memory. Throws StoreError if the files cannot be read, belong to
// different ledgers, or have a row with a wrong checksum; the text says which.
AuditReport audit(const std::filesystem::path& data_dir, const ReportAudited& report = {});

}  // namespace credits::persistence
