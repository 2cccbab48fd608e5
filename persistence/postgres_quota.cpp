#include "persistence/postgres_quota.hpp"

#include "persistence/postgres.hpp"
#include "persistence/postgres_sql.hpp"

namespace credits::persistence {

namespace {

using postgres::Connection;
using postgres::Parameters;

std::string read(Connection& connection) {
  const auto result = connection.run(postgres::sql::select_quota);
  if (result.rows() == 0) throw StoreError{"the ledger in PostgreSQL has no quota any more"};
  return result.text(0, 0);
}

void write(Connection& connection, const char* statement, std::string_view quota) {
  Parameters parameters;
  parameters.add(quota);
  connection.run_script(postgres::sql::begin_durable);
  connection.run(statement, parameters);
  connection.run_script("COMMIT");
}

}  // namespace

PostgresQuota::PostgresQuota(const std::string& uri)
    : pool_{std::make_unique<postgres::Pool>(uri, postgres::sql::set_up)} {}

PostgresQuota::~PostgresQuota() = default;

std::string PostgresQuota::read_or_keep(std::string_view first) {
  return pool_->with([&](Connection& connection) {
    write(connection, postgres::sql::keep_first_quota, first);
    return persistence::read(connection);
  });
}

std::string PostgresQuota::read() {
  return pool_->with([](Connection& connection) { return persistence::read(connection); });
}

void PostgresQuota::replace(std::string_view quota) {
  pool_->with(
      [&](Connection& connection) { write(connection, postgres::sql::replace_quota, quota); });
}

}  // namespace credits::persistence
