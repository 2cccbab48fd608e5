// Checks a whole ledger of the SQLite engine against itself: that each row is what the install's
// entries make of it, by the same apply() that the service uses, that no entry is missing, and that
// every hash of the chain is right. Reads only, and may run beside the creditsd that has the
// ledger.
#pragma once

#include <cstdint>
#include <filesystem>
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
  std::optional<AuditFault> fault{};   // the first; what comes after it was not looked at
};

// Keeps a row of each install in memory. Throws StoreError if the files cannot be read, are not of
// one ledger, or have a row whose checksum is wrong; the text says which.
AuditReport audit(const std::filesystem::path& data_dir);

}  // namespace credits::persistence
