// Checks and creates the PostgreSQL engine's tables in a database.
#pragma once

#include "persistence/postgres/connection.hpp"

namespace credits::persistence::postgres {

// Throws StoreError if the database cannot keep the store's promises. Reports doubtful settings.
void check_server(Connection& connection, const Report& report = {});

// Creates the tables in the first schema of the search path if they are missing there; concurrent
// callers wait. Reports a ledger in a later schema of the path, which is left alone. Throws
// StoreError if the tables have a newer schema version.
void make_schema(Connection& connection, const Report& report = {});

// Throws StoreError if there are no tables, or they have a newer schema version.
void expect_schema(Connection& connection);

// The id of the existing ledger. Throws a StoreError of kind `broken` if its schema is newer than
// this program.
std::string read_ledger_id(Connection& connection);

}  // namespace credits::persistence::postgres
