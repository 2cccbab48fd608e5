#include "http/quota_file.hpp"

#include <fstream>
#include <iterator>

#include "http/codec/quota.hpp"
#include "persistence/files.hpp"
#include "persistence/store.hpp"

namespace credits::http {

ledger::Quota read_quota_file(const std::filesystem::path& path) {
  try {
    return codec::decode_quota(persistence::read_file(path));
  } catch (const persistence::StoreError& error) {
    throw QuotaFileError{"cannot read the quota file: " + std::string{error.what()}};
  } catch (const codec::QuotaError& error) {
    throw QuotaFileError{"quota file " + path.string() + ": " + error.what()};
  }
}

void write_quota_file(const std::filesystem::path& path, const ledger::Quota& quota) {
  try {
    persistence::replace_file(path, codec::encode(quota) + "\n");
  } catch (const persistence::StoreError& error) {
    throw QuotaFileError{"cannot write the quota file: " + std::string{error.what()}};
  }
}

void QuotaFile::reload() {
  const std::lock_guard lock{mutex_};
  in_force_.set(read_quota_file(path_));
}

void QuotaFile::replace(const ledger::Quota& quota) {
  const std::lock_guard lock{mutex_};
  write_quota_file(path_, quota);
  in_force_.set(quota);
}

}  // namespace credits::http
