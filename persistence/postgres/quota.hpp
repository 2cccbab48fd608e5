// The quota of a ledger in PostgreSQL, one for all its nodes. Its content is up to the callers.
//
// Thread-safe. Every function throws StoreError. If the connection is lost during a write, the
// outcome is unknown.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace credits::persistence {

namespace postgres {
class Pool;
}

class PostgresQuota {
 public:
  // The store must have created its tables in the database. Connects at the first use.
  explicit PostgresQuota(const std::string& uri);
  ~PostgresQuota();
  PostgresQuota(const PostgresQuota&) = delete;
  PostgresQuota& operator=(const PostgresQuota&) = delete;

  // Returns the quota. If there is none yet, stores `first` and returns that.
  std::string read_or_keep(std::string_view first);
  std::string read();
  void replace(std::string_view quota);
  // Replaces the quota if the stored text is `old`; returns whether it was. The database decides:
  // of several such calls at once, on any nodes, one succeeds.
  bool replace_if(std::string_view old, std::string_view quota);

 private:
  const std::unique_ptr<postgres::Pool> pool_;
};

}  // namespace credits::persistence
