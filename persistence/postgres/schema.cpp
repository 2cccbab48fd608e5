#include "persistence/postgres/schema.hpp"

#include "persistence/postgres/sql.hpp"

namespace credits::persistence::postgres {

namespace {

constexpr std::string_view permission_denied = "42501";

struct Ledger {
  std::int64_t schema_version = 0;
  std::string id;
};

Ledger read_ledger(Connection& connection) {
  const Result result = connection.run_once(sql::select_ledger);
  if (result.rows() == 0) {
    throw StoreError{StoreErrorKind::refused, "the table credits_ledger in PostgreSQL at " +
                                                  connection.server() +
                                                  " is empty; restore it from a backup"};
  }
  return {result.integer(0, 0), result.text(0, 1)};
}

std::string newer_schema(std::int64_t found, const char* advice) {
  return "the ledger in PostgreSQL has schema version " + std::to_string(found) +
         ", and this program knows up to " + std::to_string(sql::schema_version) + "; " + advice;
}

bool has_schema(Connection& connection) {
  return connection.run_once(sql::has_schema).integer(0, 0) != 0;
}

// The schema of the tables, existing or new.
struct Place {
  std::string schema;  // both are quoted identifiers
  std::string user;
};

Place find_place(Connection& connection) {
  const Result found = connection.run_once(sql::current_schema);
  if (!found.is_null(0, 0)) return {found.text(0, 0), found.text(0, 1)};
  throw StoreError{StoreErrorKind::refused,
                   "no schema of the search path (" + found.text(0, 2) + ") exists for the user " +
                       found.text(0, 1) + " in PostgreSQL at " + connection.server() +
                       "; create one, or GRANT CREATE, USAGE ON SCHEMA … TO " + found.text(0, 1)};
}

void make_tables(Connection& connection, const Place& place) {
  try {
    connection.run_script(sql::schema);
  } catch (const StatementError& error) {
    if (error.code() != permission_denied) throw;
    throw StoreError{StoreErrorKind::refused, std::string{error.what()} +
                                                  "; ask an administrator for: GRANT CREATE, USAGE "
                                                  "ON SCHEMA " +
                                                  place.schema + " TO " + place.user};
  }
}

void report_other_schema(Connection& connection, const Place& place, const Report& report) {
  const Result other = connection.run_once(sql::other_schema);
  if (other.rows() == 0 || !report) return;
  report("ledger_in_other_schema", "a ledger is created in the schema " + place.schema +
                                       ", the first of the search path; the one in the schema " +
                                       other.text(0, 0) + " is left alone");
}

}  // namespace

void check_server(Connection& connection, const Report& report) {
  if (connection.parameter("server_encoding") != "UTF8") {
    throw StoreError{StoreErrorKind::refused, "the PostgreSQL database has the encoding " +
                                                  connection.parameter("server_encoding") +
                                                  "; make one with UTF8"};
  }
  if (connection.run_once("SHOW fsync").text(0, 0) != "on") {
    throw StoreError{StoreErrorKind::refused,
                     "the PostgreSQL server has fsync off, and a crash would lose acknowledged "
                     "writes; turn it on"};
  }
  const Result timeout = connection.run_once(sql::short_statement_timeout);
  if (timeout.rows() == 0 || !report) return;
  report("statement_timeout_short",
         "the user or the database in PostgreSQL has a statement_timeout of " + timeout.text(0, 0) +
             ", which may be too short for large batches; set it to 5s or more, or to 0");
}

void make_schema(Connection& connection, const Report& report) {
  const Place place = find_place(connection);
  connection.run_script(sql::begin_durable);
  connection.run(sql::lock_schema);
  if (!has_schema(connection)) {
    report_other_schema(connection, place, report);
    make_tables(connection, place);
  }
  const auto found = read_ledger(connection).schema_version;
  connection.run_script("COMMIT");
  if (found > sql::schema_version)
    throw StoreError{StoreErrorKind::refused, newer_schema(found, "use a newer creditsd")};
}

void expect_schema(Connection& connection) {
  const Place place = find_place(connection);
  if (!has_schema(connection)) {
    throw StoreError{StoreErrorKind::refused,
                     "there is no ledger in that database, in the schema " + place.schema +
                         " (the first of the search path)"};
  }
  const auto found = read_ledger(connection).schema_version;
  if (found > sql::schema_version)
    throw StoreError{StoreErrorKind::refused, newer_schema(found, "use a newer program")};
}

std::string read_ledger_id(Connection& connection) {
  const Ledger ledger = read_ledger(connection);
  if (ledger.schema_version <= sql::schema_version) return ledger.id;
  throw StoreError{StoreErrorKind::broken,
                   newer_schema(ledger.schema_version, "use a newer creditsd")};
}

}  // namespace credits::persistence::postgres
