// The quota file, and the quota in force that is read from it. Any thread may use it.
#pragma once

#include <filesystem>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>

#include "actors/environment.hpp"
#include "actors/ledger/quota.hpp"

namespace credits::http {

// The text names the file and what is wrong with it or in its way.
class QuotaFileError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws QuotaFileError.
ledger::Quota read_quota_file(const std::filesystem::path& path);

// Replaces the file at once and durably: a crash leaves the old one or the new one. Throws
// QuotaFileError.
void write_quota_file(const std::filesystem::path& path, const ledger::Quota& quota);

class QuotaFile {
 public:
  QuotaFile(std::filesystem::path path, actors::QuotaInForce& in_force)
      : path_{std::move(path)}, in_force_{in_force} {}

  // Puts what the file says in force. Throws QuotaFileError, and changes nothing.
  void reload();

  // Writes `quota` to the file and puts it in force. Throws QuotaFileError: the quota in force
  // stays, and the file is whole, be it the old one or the new one.
  void replace(const ledger::Quota& quota);

  ledger::Quota in_force() const { return *in_force_.get(); }

 private:
  const std::filesystem::path path_;
  actors::QuotaInForce& in_force_;
  std::mutex mutex_;  // one change at a time
};

}  // namespace credits::http
