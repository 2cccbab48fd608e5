// The quota of a ledger in PostgreSQL, one for all its nodes. What is in it is its callers'
// business.
//
// Any thread may use it. Every function throws StoreError; of a write whose connection is lost the
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
  // Of a database in which the store has made its tables. Connects at the first use.
  explicit PostgresQuota(const std::string& uri);
  ~PostgresQuota();
  PostgresQuota(const PostgresQuota&) = delete;
  PostgresQuota& operator=(const PostgresQuota&) = delete;

  // The quota; `first` where there is none yet, and from then on.
  std::string read_or_keep(std::string_view first);
  std::string read();
  void replace(std::string_view quota);
  // The same if the stored text is `old`; returns whether it was. The database decides: of several
  // such calls at once, on any nodes, one succeeds.
  bool replace_if(std::string_view old, std::string_view quota);

 private:
  const std::unique_ptr<postgres::Pool> pool_;
};

}  // namespace credits::persistence
