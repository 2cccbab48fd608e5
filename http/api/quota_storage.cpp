#include "http/api/quota_storage.hpp"

namespace credits::http {

ledger::Quota QuotaFile::read() {
  return access_quota("read", "quota file " + path_.string(),
                      [&] { return codec::decode_quota(base::read_text_file(path_)); });
}

void QuotaFile::write(const ledger::Quota& quota) {
  access_quota("write", "quota file " + path_.string(),
               [&] { base::replace_file(path_, codec::encode(quota) + "\n"); });
}

std::optional<ledger::Quota> QuotaFile::write_if(const QuotaCondition& condition,
                                                 const ledger::Quota& quota) {
  ledger::Quota stored = read();
  if (!condition(stored)) return stored;
  write(quota);
  return std::nullopt;
}

std::unique_lock<std::timed_mutex> QuotaKeeper::lock() {
  std::unique_lock held{mutex_, patience_};
  if (held.owns_lock()) return held;
  throw QuotaStorageError{
      "the quota is already being read or replaced, and its storage does not answer; try again"};
}

bool QuotaKeeper::reload() {
  const auto held = lock();
  ledger::Quota quota = storage_.read();
  if (quota == *in_force_.get()) return false;
  in_force_.set(std::move(quota));
  return true;
}

void QuotaKeeper::replace(const ledger::Quota& quota) {
  const auto held = lock();
  storage_.write(quota);
  in_force_.set(quota);
}

Replacement QuotaKeeper::replace_if(const QuotaCondition& condition, const ledger::Quota& quota) {
  const auto held = lock();
  auto other = storage_.write_if(condition, quota);
  if (!other) {
    in_force_.set(quota);
    return Replacement::done;
  }
  if (*other == *in_force_.get()) return Replacement::refused;
  if (!storage_.is_shared()) return Replacement::refused_until_reload;
  in_force_.set(*std::move(other));
  return Replacement::refused_and_adopted;
}

}  // namespace credits::http
