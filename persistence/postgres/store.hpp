// The engine for several creditsd over one PostgreSQL 13 or later, or a database that speaks its
// protocol and SQL. Any node may write any install at any time: each write compares the stamp that
// it follows with the row, in the statement itself, and the later of two writes is therefore a
// conflict. are_current() checks whether a stamp is still the newest.
//
// Durability is up to the server: each connection sets `synchronous_commit` to on if it is off, and
// a server with `fsync` off is refused.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "persistence/store.hpp"

namespace credits::persistence {

struct PostgresOptions {
  // Receives events such as a change of server, or a row held by another transaction. Any thread.
  Report report{};
};

// Whether the value of --store selects this engine.
bool is_postgres_uri(std::string_view store);

// Describes the URI's fault, without repeating the URI; nullopt if it has none. A password is a
// fault, as process lists would show it.
std::optional<std::string> fault_of_postgres_uri(const std::string& uri);

// The server and the database of a valid URI, for people.
std::string name_of_postgres(const std::string& uri);

// Connects to `uri`, and creates the schema if it is missing. Throws a StoreError of kind
// `unavailable` or `full` if the server cannot be reached or does not accept writes at present, and
// of another kind if it refuses or has a newer schema; the text says which.
//
// A write that loses its connection has an unknown outcome; it throws StoreError.
std::unique_ptr<Store> open_postgres_store(const std::string& uri,
                                           const PostgresOptions& options = {});

}  // namespace credits::persistence
