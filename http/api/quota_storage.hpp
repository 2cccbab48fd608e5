// The stored quota, and the quota in force that is read from the storage.
//
// A conditional replacement is judged on the stored quota, not on the one in force, because a node
// may not have picked up yet what another node has stored. The stored quota is decoded first and
// compared as GET /v1/quota would show it: white space that somebody adds to the file is no change.
// States are compared, not changes: a quota that was replaced and put back is the same again.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>

#include "actors/base/files.hpp"
#include "actors/environment.hpp"
#include "actors/ledger/quota.hpp"
#include "http/codec/quota.hpp"
#include "persistence/store.hpp"

namespace credits::http {

// The text names the file or server and the fault.
class QuotaStorageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

using QuotaCondition = std::function<bool(const ledger::Quota& stored)>;

// One thread at a time. Functions that read or write throw QuotaStorageError.
class QuotaStorage {
 public:
  virtual ~QuotaStorage() = default;
  virtual ledger::Quota read() = 0;
  // Replaces the quota whole and durably.
  virtual void write(const ledger::Quota& quota) = 0;
  // The same if the stored quota meets `condition`, with no other change in between. Otherwise
  // writes nothing and returns the stored quota.
  virtual std::optional<ledger::Quota> write_if(const QuotaCondition& condition,
                                                const ledger::Quota& quota) = 0;
  // Whether other nodes replace it too.
  virtual bool is_shared() const = 0;
};

// Runs `work`; reports its failures as QuotaStorageErrors that name the storage: "cannot VERB the
// STORAGE".
template <class Work>
auto access_quota(const char* verb, const std::string& storage, const Work& work) {
  try {
    return work();
  } catch (const base::FileError& error) {
    throw QuotaStorageError{std::string{"cannot "} + verb + " the " + storage + ": " +
                            error.what()};
  } catch (const persistence::StoreError& error) {
    throw QuotaStorageError{std::string{"cannot "} + verb + " the " + storage + ": " +
                            error.what()};
  } catch (const codec::QuotaError& error) {
    throw QuotaStorageError{storage + ": " + error.what()};
  }
}

class QuotaFile : public QuotaStorage {
 public:
  explicit QuotaFile(std::filesystem::path path) : path_{std::move(path)} {}
  ledger::Quota read() override;
  void write(const ledger::Quota& quota) override;
  // A file system has no compare-and-replace: a change by hand between the read and the write is
  // lost.
  std::optional<ledger::Quota> write_if(const QuotaCondition& condition,
                                        const ledger::Quota& quota) override;
  bool is_shared() const override { return false; }

 private:
  const std::filesystem::path path_;
};

// The outcome of a conditional replacement.
enum class Replacement : std::uint8_t {
  done,
  refused,               // another quota is stored, and was in force already
  refused_and_adopted,   // another node has stored another quota, and it is in force now
  refused_until_reload,  // the file has another quota, not in force until the file is read again
};

// Thread-safe. A call that finds another one at work for longer than `patience`, as when the
// database does not answer, throws QuotaStorageError.
class QuotaKeeper {
 public:
  QuotaKeeper(QuotaStorage& storage, actors::QuotaInForce& in_force,
              std::chrono::milliseconds patience = std::chrono::seconds{10})
      : storage_{storage}, in_force_{in_force}, patience_{patience} {}

  // Puts the stored quota in force; returns whether it differs from the one before. If it throws
  // QuotaStorageError, nothing has changed.
  bool reload();

  // Writes `quota` and puts it in force. If it throws QuotaStorageError, the quota in force stays,
  // and the storage has the old or the new one.
  void replace(const ledger::Quota& quota);

  // The same if the stored quota meets `condition`. Otherwise writes nothing.
  Replacement replace_if(const QuotaCondition& condition, const ledger::Quota& quota);

  ledger::Quota in_force() const { return *in_force_.get(); }

 private:
  std::unique_lock<std::timed_mutex> lock();

  QuotaStorage& storage_;
  actors::QuotaInForce& in_force_;
  const std::chrono::milliseconds patience_;
  std::timed_mutex mutex_;  // one change at a time
};

}  // namespace credits::http
