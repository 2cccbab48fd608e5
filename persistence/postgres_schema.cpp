#include "persistence/postgres_schema.hpp"

#include "persistence/postgres_sql.hpp"

namespace credits::persistence::postgres {

namespace {

void refuse_version(std::int64_t found, const char* advice) {
  throw StoreError{"the ledger in PostgreSQL has schema version " + std::to_string(found) +
                   ", and this program knows up to " + std::to_string(sql::schema_version) + "; " +
                   advice};
}

bool has_schema(Connection& connection) {
  return connection.run(sql::has_schema).integer(0, 0) != 0;
}

}  // namespace

void check_server(Connection& connection) {
  if (connection.parameter("server_encoding") != "UTF8") {
    throw StoreError{"the PostgreSQL database has the encoding " +
                     connection.parameter("server_encoding") + "; make one with UTF8"};
  }
  if (connection.run("SHOW fsync").text(0, 0) != "on") {
    throw StoreError{
        "the PostgreSQL server has fsync off, so a crash loses what was answered; turn it on"};
  }
}

void make_schema(Connection& connection) {
  connection.run_script("BEGIN");
  connection.run(sql::lock_schema);
  if (!has_schema(connection)) connection.run_script(sql::schema);
  const std::int64_t found = connection.run(sql::select_ledger).integer(0, 0);
  connection.run_script("COMMIT");
  if (found > sql::schema_version) refuse_version(found, "use a newer creditsd");
}

void expect_schema(Connection& connection) {
  if (!has_schema(connection)) {
    throw StoreError{"there is no ledger in that database (and search_path)"};
  }
  const std::int64_t found = connection.run(sql::select_ledger).integer(0, 0);
  if (found > sql::schema_version) refuse_version(found, "use a newer program");
}

}  // namespace credits::persistence::postgres
