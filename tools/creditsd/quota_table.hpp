// The quota in the PostgreSQL database that all nodes share.
#pragma once

#include <optional>
#include <string>

#include "http/api/quota_storage.hpp"
#include "persistence/postgres/quota.hpp"

namespace credits::creditsd {

class QuotaTable : public http::QuotaStorage {
 public:
  // `first` becomes the ledger's quota if it has none yet.
  QuotaTable(const std::string& uri, const ledger::Quota& first);
  ledger::Quota read() override;
  void write(const ledger::Quota& quota) override;
  std::optional<ledger::Quota> write_if(const http::QuotaCondition& condition,
                                        const ledger::Quota& quota) override;
  bool is_shared() const override { return true; }

 private:
  persistence::PostgresQuota table_;
};

}  // namespace credits::creditsd
