// The tables of the PostgreSQL engine in a database.
#pragma once

#include "persistence/postgres/connection.hpp"

namespace credits::persistence::postgres {

// Throws StoreError if the database cannot keep what is promised; tells what may be in the way.
void check_server(Connection& connection, const Tell& tell = {});

// Makes the tables in the first schema of the search path if they are missing there; whoever does
// so at the same time waits. Tells if a schema after it has a ledger, which is left alone. Throws
// StoreError if they are of a newer schema.
void make_schema(Connection& connection, const Tell& tell = {});

// Throws StoreError if there are none, or of another schema.
void expect_schema(Connection& connection);

// Of the ledger that is there. Throws a StoreError that is `broken` if its schema is newer than
// this program.
std::string read_ledger_id(Connection& connection);

}  // namespace credits::persistence::postgres
