#include "persistence/postgres/quota.hpp"

#include <cstdint>
#include <initializer_list>

#include "persistence/postgres/connection.hpp"
#include "persistence/postgres/pool.hpp"
#include "persistence/postgres/sql.hpp"

namespace credits::persistence {

namespace {

using postgres::Connection;
using postgres::Parameters;

std::string read(Connection& connection) {
  const auto result = connection.run(postgres::sql::select_quota);
  if (result.rows() == 0)
    throw StoreError{StoreErrorKind::refused, "the ledger in PostgreSQL has lost its quota"};
  return result.text(0, 0);
}

// Returns the number of rows written: one or none.
std::int64_t write(Connection& connection, const char* statement,
                   std::initializer_list<std::string_view> texts) {
  Parameters parameters;
  for (const std::string_view text : texts) parameters.add(text);
  connection.run_script(postgres::sql::begin_durable_read_committed);
  const std::int64_t written = connection.run(statement, parameters).affected();
  connection.run_script("COMMIT");
  return written;
}

}  // namespace

PostgresQuota::PostgresQuota(const std::string& uri)
    : pool_{std::make_unique<postgres::Pool>(uri, postgres::sql::set_up)} {}

PostgresQuota::~PostgresQuota() = default;

std::string PostgresQuota::read_or_keep(std::string_view first) {
  return pool_->with([&](Connection& connection) {
    write(connection, postgres::sql::keep_first_quota, {first});
    return persistence::read(connection);
  });
}

std::string PostgresQuota::read() {
  return pool_->with([](Connection& connection) { return persistence::read(connection); });
}

void PostgresQuota::replace(std::string_view quota) {
  pool_->with(
      [&](Connection& connection) { write(connection, postgres::sql::replace_quota, {quota}); });
}

bool PostgresQuota::replace_if(std::string_view old, std::string_view quota) {
  return pool_->with([&](Connection& connection) {
    return write(connection, postgres::sql::replace_this_quota, {old, quota}) == 1;
  });
}

}  // namespace credits::persistence
