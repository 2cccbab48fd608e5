// What a new connection is asked before it is used: who answers, and whether that can be relied on.
#pragma once

#include <cstdint>
#include <string>

#include "persistence/postgres/connection.hpp"

namespace credits::persistence::postgres {

// Who answers on a connection.
struct Server {
  std::string address;  // its host and port, for people
  std::string version;
  std::int64_t started_at_ms = 0;
  std::string timeline;  // hexadecimal; empty: it does not tell
  std::int64_t backend_id = 0;
  std::string schema;     // the first of the search path; empty: there is none
  std::string ledger_id;  // empty: there is no ledger yet
};

// Throws a StoreError that is `broken` if the ledger's schema is newer than this program.
Server ask_server(Connection& connection);

// Whether something in between answers in the server's place.
bool is_behind_pooler(const Connection& connection, const Server& server);

// Throws StoreError if connections share sessions, so that what one sets is not its own:
// `second` is another connection to the same server.
void expect_own_session(Connection& connection, Connection& second);

// Throws StoreError if the URI names a search path that has not arrived: a pooler may drop options.
void expect_search_path(Connection& connection, const std::string& wanted);

// Returns once a commit has come through, and with it all that the server committed before. Throws
// NotDoneError if it does not.
void pass_barrier(Connection& connection);

// Of an error before anything of the caller's was under way.
std::string reason_of(const ConnectionError& error);

// What is different about the server that answers now, for people; empty if it is the same one.
std::string difference(const Server& before, const Server& now);

// The server, and the schema with the ledger, for people.
std::string describe(const Server& server);

}  // namespace credits::persistence::postgres
