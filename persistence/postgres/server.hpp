// Checks a new connection before its first use: which server answers, and whether it can be relied
// on.
#pragma once

#include <cstdint>
#include <string>

#include "persistence/postgres/connection.hpp"

namespace credits::persistence::postgres {

// The server at the other end of a connection.
struct Server {
  std::string address;  // its host and port, for people
  std::string version;
  std::int64_t started_at_ms = 0;
  std::string timeline;  // hexadecimal; empty: unknown
  std::int64_t backend_id = 0;
  std::string schema;     // the first of the search path; empty: there is none
  std::string ledger_id;  // empty: there is no ledger yet
};

// Throws a StoreError of kind `broken` if the ledger's schema is newer than this program.
Server ask_server(Connection& connection);

// Whether a pooler answers in the server's place.
bool is_behind_pooler(const Connection& connection, const Server& server);

// Throws StoreError if connections share sessions, so that one's settings affect the other.
// `second` is another connection to the same server.
void expect_own_session(Connection& connection, Connection& second);

// Throws StoreError if the URI's search path is not in effect: a pooler may drop options.
void expect_search_path(Connection& connection, const std::string& wanted);

// Returns once a commit has completed, and with it every earlier commit of the server. Throws
// NotDoneError if it does not complete.
void pass_barrier(Connection& connection);

// The text of an error from before the caller's first statement.
std::string reason_of(const ConnectionError& error);

// Describes a change of the server, for people; empty if it is the same one.
std::string difference(const Server& before, const Server& now);

// Describes the server and the ledger's schema, for people.
std::string describe(const Server& server);

}  // namespace credits::persistence::postgres
