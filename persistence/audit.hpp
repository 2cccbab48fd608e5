// The report of a check of a whole ledger, whatever its engine.
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
  std::uint64_t entries = 0;           // that are kept
  std::uint64_t entries_unhashed = 0;  // of those, from before entries had hashes
  std::uint64_t pruned_sequence = 0;   // entries up to this one are gone, 0: none
  bool is_log_missing = false;         // the newest entries may be missing
  bool has_snapshots = false;          // without, rows are made from the entries at the next start
  std::optional<AuditFault> fault{};   // the first; what comes after it was not looked at
};

// Called now and then with the entries that were looked at, and with those there are.
using ReportAudited = std::function<void(std::uint64_t done, std::uint64_t total)>;

}  // namespace credits::persistence
