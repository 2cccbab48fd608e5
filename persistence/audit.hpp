// Checks a whole ledger of the SQLite engine against itself: that each row is what the install's
// entries make of it, by the same apply() that the service uses, that no entry is missing, that
// every hash of the chain is right, that each name finds its entry, and that SQLite finds its files
// in order. Reads only, and may run beside the creditsd that has the ledger.
#pragma once

#include <cstdint>
#include <filesystem>
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

// Keeps a row of each install in memory. Throws StoreError if the files cannot be read, are not of
// one ledger, or have a row whose checksum is wrong; the text says which.
AuditReport audit(const std::filesystem::path& data_dir, const ReportAudited& report = {});

}  // namespace credits::persistence
