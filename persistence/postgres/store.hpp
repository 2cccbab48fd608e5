// The engine for several creditsd over one PostgreSQL 13 or later, or a database that speaks its
// protocol and has its SQL. Any of them may write any install at any time: each write compares the
// stamp that it follows with the row, in the statement itself, so that the later of two is a
// conflict; are_current() tells whether a stamp is still the newest.
//
// Durability is the server's: each connection sets `synchronous_commit` to on if it is off, and a
// server with `fsync` off is refused.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "persistence/store.hpp"

namespace credits::persistence {

struct PostgresOptions {
  // Of servers that come and go, and of rows that others hold. Any thread.
  Tell tell{};
};

// Whether --store means this engine.
bool is_postgres_uri(std::string_view store);

// What is wrong with the URI, if anything; does not repeat it. One with a password is wrong, as
// lists of processes would show it.
std::optional<std::string> fault_of_postgres_uri(const std::string& uri);

// The server and the database that a good URI names, for people.
std::string name_of_postgres(const std::string& uri);

// Connects to `uri`, and makes the schema if it is missing. Throws StoreError: it
// is `unavailable` or `full` if the server cannot be reached, or takes nothing for now, and of
// another kind if it refuses, or has a newer schema; the text says which.
//
// A write during which the connection is lost has an unknown outcome; it throws StoreError.
std::unique_ptr<Store> open_postgres_store(const std::string& uri,
                                           const PostgresOptions& options = {});

}  // namespace credits::persistence
