#include "persistence/postgres/server.hpp"

#include <charconv>
#include <string_view>

#include "persistence/postgres/schema.hpp"
#include "persistence/postgres/sql.hpp"

namespace credits::persistence::postgres {

namespace {

constexpr int pooler_rounds = 5;

std::int64_t backend_of(Connection& connection) {
  return connection.run_once(sql::backend_id).integer(0, 0);
}

std::uint64_t number_of(const std::string& timeline) {
  std::uint64_t number = 0;
  std::from_chars(timeline.data(), timeline.data() + timeline.size(), number, 16);
  return number;
}

std::string with_timeline(const std::string& text, const std::string& timeline) {
  return timeline.empty() ? text : text + ", timeline " + std::to_string(number_of(timeline));
}

// Not every database that speaks PostgreSQL's protocol has timelines.
std::string ask_timeline(Connection& connection) {
  try {
    return connection.run_once(sql::timeline).text(0, 0);
  } catch (const StatementError&) {
    return {};
  }
}

// PgBouncer's wording; it then closes the connection.
bool refuses_transactions(const StoreError& error) {
  return std::string_view{error.what()}.find("statement pooling") != std::string_view::npos;
}

[[noreturn]] void refuse_pooler(const Connection& connection) {
  throw StoreError{
      StoreErrorKind::refused,
      "between creditsd and PostgreSQL at " + connection.server() +
          " is a pooler whose connections have no session of their own; set pool_mode = "
          "session for this database, or connect to the server itself"};
}

}  // namespace

Server ask_server(Connection& connection) {
  const Result result = connection.run_once(sql::who_answers);
  Server server;
  server.address = connection.server();
  server.version = connection.parameter("server_version");
  server.backend_id = result.integer(0, 0);
  server.started_at_ms = result.integer(0, 1);
  server.schema = result.text(0, 2);
  server.timeline = ask_timeline(connection);
  if (result.integer(0, 3) != 0) server.ledger_id = read_ledger_id(connection);
  return server;
}

bool is_behind_pooler(const Connection& connection, const Server& server) {
  return connection.backend_id() != server.backend_id;
}

void expect_own_session(Connection& connection, Connection& second) {
  for (int round = 0; round < pooler_rounds; ++round) {
    const auto mine = backend_of(connection);
    try {
      second.run_script("BEGIN");
    } catch (const StoreError& error) {
      if (refuses_transactions(error)) refuse_pooler(connection);
      throw;
    }
    if (backend_of(second) == mine || backend_of(connection) != mine) refuse_pooler(connection);
    second.run_script("ROLLBACK");
  }
}

void expect_search_path(Connection& connection, const std::string& wanted) {
  const std::string found = connection.run_once("SHOW search_path").text(0, 0);
  if (wanted.empty() || found == wanted) return;
  throw StoreError{StoreErrorKind::refused,
                   "the pooler between creditsd and PostgreSQL at " + connection.server() +
                       " drops the URI's search_path=" + wanted + " (it is " + found +
                       "); let it pass options on, or set it by ALTER ROLE … SET search_path"};
}

void pass_barrier(Connection& connection) {
  try {
    connection.run_once(sql::end_forgotten_barriers);
    connection.run_script(sql::barrier);
  } catch (const ConnectionError& error) {
    const char* const hint = connection.was_silent()
                                 ? " (a commit without content; a server with "
                                   "synchronous_standby_names waits for its standby)"
                                 : "";
    throw NotDoneError{reason_of(error) + hint};
  }
}

std::string reason_of(const ConnectionError& error) {
  std::string_view text = error.what();
  if (text.ends_with(maybe_done)) text.remove_suffix(maybe_done.size());
  return std::string{text};
}

std::string difference(const Server& before, const Server& now) {
  const auto timeline_before = number_of(before.timeline);
  const auto timeline_now = number_of(now.timeline);
  const bool is_same_place = before.address == now.address && timeline_before == timeline_now;
  if (is_same_place && before.started_at_ms == now.started_at_ms) return {};
  const std::string text = with_timeline(
      "PostgreSQL at " + now.address + (is_same_place ? " was started again" : " answers now"),
      now.timeline);
  if (is_same_place) return text;
  const char* const warning = timeline_now < timeline_before
                                  ? "; another server has been promoted over it, and it may lack "
                                    "the writes acknowledged since"
                                  : "";
  return text + " (before: " + with_timeline(before.address, before.timeline) + ")" + warning;
}

std::string describe(const Server& server) {
  return with_timeline(
      "PostgreSQL " + server.version + " at " + server.address + ", schema " + server.schema,
      server.timeline);
}

}  // namespace credits::persistence::postgres
