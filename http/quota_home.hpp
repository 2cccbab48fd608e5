// Where the quota lives, and the quota in force that is read from there.
#pragma once

#include <chrono>
#include <filesystem>
#include <mutex>
#include <stdexcept>
#include <string>

#include "actors/environment.hpp"
#include "actors/ledger/quota.hpp"
#include "persistence/postgres_quota.hpp"

namespace credits::http {

// The text names the file or server and what is wrong with it or in its way.
class QuotaHomeError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// One thread at a time. Every function throws QuotaHomeError.
class QuotaHome {
 public:
  virtual ~QuotaHome() = default;
  virtual ledger::Quota read() = 0;
  // Replaces the quota whole and durably.
  virtual void write(const ledger::Quota& quota) = 0;
};

class QuotaFile : public QuotaHome {
 public:
  explicit QuotaFile(std::filesystem::path path) : path_{std::move(path)} {}
  ledger::Quota read() override;
  void write(const ledger::Quota& quota) override;

 private:
  const std::filesystem::path path_;
};

// In the database that all nodes share.
class QuotaTable : public QuotaHome {
 public:
  // `first` is what the ledger gets if it has no quota yet.
  QuotaTable(const std::string& uri, const ledger::Quota& first);
  ledger::Quota read() override;
  void write(const ledger::Quota& quota) override;

 private:
  persistence::PostgresQuota table_;
};

// Any thread may use it. Whoever finds another at it for longer than `patience`, as over a database
// that does not answer, gives up.
class QuotaKeeper {
 public:
  QuotaKeeper(QuotaHome& home, actors::QuotaInForce& in_force,
              std::chrono::milliseconds patience = std::chrono::seconds{10})
      : home_{home}, in_force_{in_force}, patience_{patience} {}

  // Puts what the home says in force; whether that is another quota than before. Throws
  // QuotaHomeError, and changes nothing.
  bool reload();

  // Writes `quota` and puts it in force. Throws QuotaHomeError: the quota in force stays, and the
  // home has the old one or the new one.
  void replace(const ledger::Quota& quota);

  ledger::Quota in_force() const { return *in_force_.get(); }

 private:
  std::unique_lock<std::timed_mutex> lock();

  QuotaHome& home_;
  actors::QuotaInForce& in_force_;
  const std::chrono::milliseconds patience_;
  std::timed_mutex mutex_;  // one change at a time
};

}  // namespace credits::http
