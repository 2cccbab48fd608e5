#include "http/api/quota_storage.hpp"

#include "actors/base/files.hpp"
#include "http/codec/quota.hpp"
#include "persistence/store.hpp"

namespace credits::http {

namespace {

// Does `work`, and tells what of it fails as a fault of `home`.
template <class Work>
auto at_home(const char* verb, const std::string& home, const Work& work) {
  try {
    return work();
  } catch (const base::FileError& error) {
    throw QuotaStorageError{std::string{"cannot "} + verb + " the " + home + ": " + error.what()};
  } catch (const persistence::StoreError& error) {
    throw QuotaStorageError{std::string{"cannot "} + verb + " the " + home + ": " + error.what()};
  } catch (const codec::QuotaError& error) {
    throw QuotaStorageError{home + ": " + error.what()};
  }
}

constexpr const char* table_name = "quota in PostgreSQL";

}  // namespace

ledger::Quota QuotaFile::read() {
  return at_home("read", "quota file " + path_.string(),
                 [&] { return codec::decode_quota(base::read_text_file(path_)); });
}

void QuotaFile::write(const ledger::Quota& quota) {
  at_home("write", "quota file " + path_.string(),
          [&] { base::replace_file(path_, codec::encode(quota) + "\n"); });
}

std::optional<ledger::Quota> QuotaFile::write_if(const QuotaCondition& condition,
                                                 const ledger::Quota& quota) {
  ledger::Quota stored = read();
  if (!condition(stored)) return stored;
  write(quota);
  return std::nullopt;
}

QuotaTable::QuotaTable(const std::string& uri, const ledger::Quota& first) : table_{uri} {
  at_home("write", table_name,
          [&] { return codec::decode_quota(table_.read_or_keep(codec::encode(first))); });
}

ledger::Quota QuotaTable::read() {
  return at_home("read", table_name, [&] { return codec::decode_quota(table_.read()); });
}

void QuotaTable::write(const ledger::Quota& quota) {
  at_home("write", table_name, [&] { table_.replace(codec::encode(quota)); });
}

std::optional<ledger::Quota> QuotaTable::write_if(const QuotaCondition& condition,
                                                  const ledger::Quota& quota) {
  return at_home("write", table_name, [&]() -> std::optional<ledger::Quota> {
    const std::string text = table_.read();
    ledger::Quota stored = codec::decode_quota(text);
    if (!condition(stored)) return stored;
    if (table_.replace_if(text, codec::encode(quota))) return std::nullopt;
    return codec::decode_quota(table_.read());  // another node was faster
  });
}

std::unique_lock<std::timed_mutex> QuotaKeeper::lock() {
  std::unique_lock held{mutex_, patience_};
  if (held.owns_lock()) return held;
  throw QuotaStorageError{
      "the quota is being read or replaced already, and its home does not answer; try again"};
}

bool QuotaKeeper::reload() {
  const auto held = lock();
  ledger::Quota quota = home_.read();
  if (quota == *in_force_.get()) return false;
  in_force_.set(std::move(quota));
  return true;
}

void QuotaKeeper::replace(const ledger::Quota& quota) {
  const auto held = lock();
  home_.write(quota);
  in_force_.set(quota);
}

Replacement QuotaKeeper::replace_if(const QuotaCondition& condition, const ledger::Quota& quota) {
  const auto held = lock();
  auto other = home_.write_if(condition, quota);
  if (!other) {
    in_force_.set(quota);
    return Replacement::done;
  }
  if (*other == *in_force_.get()) return Replacement::refused;
  if (!home_.is_shared()) return Replacement::refused_unseen;
  in_force_.set(*std::move(other));
  return Replacement::refused_news;
}

}  // namespace credits::http
