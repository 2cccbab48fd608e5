// The tables of the PostgreSQL engine in a database.
#pragma once

#include "persistence/postgres.hpp"

namespace credits::persistence::postgres {

// Throws StoreError if the database cannot keep what is promised.
void check_server(Connection& connection);

// Makes the tables if they are missing; whoever does so at the same time waits. Throws StoreError
// if they are of a newer schema.
void make_schema(Connection& connection);

// Throws StoreError if there are none, or of another schema.
void expect_schema(Connection& connection);

}  // namespace credits::persistence::postgres
