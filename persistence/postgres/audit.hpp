// Checks a whole ledger in PostgreSQL against itself, as audit.hpp does one in files: that each row
// is what the install's entries make of it, that no entry is missing, that every hash of the chain
// is right, and that each name finds its entry. Reads one point in time, and may run beside the
// nodes.
#pragma once

#include <string>

#include "persistence/audit.hpp"

namespace credits::persistence {

// Keeps a row of each install in memory. Throws StoreError if it cannot be read.
AuditReport audit_postgres(const std::string& uri, const ReportAudited& report = {});

}  // namespace credits::persistence
