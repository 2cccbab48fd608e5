// Checks a whole ledger in PostgreSQL against itself, as sqlite/audit.hpp does in files: each row
// is the result of the install's entries, no entry is missing, every hash of the chain is right,
// and each name finds its entry. It reads one point in time, and may run beside the nodes.
#pragma once

#include <string>

#include "persistence/audit.hpp"

namespace credits::persistence {

// Keeps one row of each install in memory. Throws StoreError if the ledger cannot be read.
AuditReport audit_postgres(const std::string& uri, const ReportAudited& report = {});

}  // namespace credits::persistence
