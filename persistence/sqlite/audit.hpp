// Checks a whole ledger of the SQLite engine against itself: that each row is what the install's
// entries make of it, by the same apply() that the service uses, that no entry is missing, that
// every hash of the chain is right, that each name finds its entry, and that SQLite finds its files
// in order. Reads only, and may run beside the creditsd that has the ledger.
#pragma once

#include <filesystem>

#include "persistence/audit.hpp"

namespace credits::persistence {

// Keeps a row of each install in memory. Throws StoreError if the files cannot be read, are not of
// one ledger, or have a row whose checksum is wrong; the text says which.
AuditReport audit(const std::filesystem::path& data_dir, const ReportAudited& report = {});

}  // namespace credits::persistence
