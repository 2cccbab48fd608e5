// The report on a check of a whole ledger, for every engine.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace credits::persistence {

struct AuditFault {
  std::string install_id;
  std::uint64_t version = 0;
  std::string what;
};

struct AuditReport {
  std::uint64_t installs = 0;
  std::uint64_t entries = 0;           // kept, not pruned
  std::uint64_t entries_unhashed = 0;  // of those, written before entries had hashes
  std::uint64_t pruned_sequence = 0;   // entries up to this one are pruned; 0: none
  bool is_log_missing = false;         // the newest entries may be missing
  bool has_snapshots = false;          // if not, the next start computes the rows from the entries
  std::optional<AuditFault> fault{};   // the first one; the check ends there
};

// Called from time to time with the number of entries checked so far and the total.
using ReportAudited = std::function<void(std::uint64_t done, std::uint64_t total)>;

}  // namespace credits::persistence
