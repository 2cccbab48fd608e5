// Connections to PostgreSQL on bad days: servers that hang, end, change, or accept no writes.
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "persistence/postgres/connection.hpp"
#include "persistence/postgres/pool.hpp"
#include "persistence/postgres/schema.hpp"
#include "persistence/postgres/server.hpp"
#include "persistence/postgres/sql.hpp"
#include "tests/catch.hpp"
#include "tests/persistence/relay.hpp"
#include "tests/persistence/temporary_schema.hpp"
#include "tests/store_errors.hpp"
#include "tests/told.hpp"

namespace credits::persistence::postgres {
namespace {

using namespace credits::tests;
using namespace std::chrono_literals;

// Longer than any answer here takes.
constexpr std::chrono::milliseconds long_enough{60'000};

const std::string& server_uri() {
  static const std::string uri = std::getenv("CREDITS_POSTGRES");
  return uri;
}

std::size_t port_begin() { return server_uri().rfind(':') + 1; }
int server_port() { return std::stoi(server_uri().substr(port_begin())); }

// A URI with these ports instead of the server's own.
std::string by_way_of(const std::vector<int>& ports) {
  const std::string end = server_uri().substr(server_uri().find('/', port_begin()));
  std::string uri = "postgresql://postgres@";
  for (const int port : ports) {
    uri += (port == ports.front() ? "127.0.0.1:" : ",127.0.0.1:") + std::to_string(port);
  }
  return uri + end;
}

std::int64_t backend_of(Connection& connection) {
  return connection.run(sql::backend_id).integer(0, 0);
}

template <class Condition>
void wait_until(const Condition& is_so) {
  const auto end = std::chrono::steady_clock::now() + long_enough;
  while (!is_so()) {
    if (std::chrono::steady_clock::now() > end) throw std::runtime_error{"it never comes true"};
    std::this_thread::sleep_for(5ms);
  }
}

// Ends a session from outside, and returns when the server has ended it.
void terminate(std::int64_t backend) {
  Connection admin{server_uri()};
  Parameters parameters;
  parameters.add(backend);
  admin.run("SELECT pg_terminate_backend($1::int, 10000)", parameters);
}

void wait_until_busy(std::int64_t backend, const char* state_query) {
  Connection admin{server_uri()};
  Parameters parameters;
  parameters.add(backend);
  wait_until([&] { return admin.run(state_query, parameters).rows() != 0; });
}

class Reports {
 public:
  Report receiver() {
    return [this](std::string_view name, const std::string& text) {
      lines_.push_back(std::string{name} + ": " + text);
    };
  }
  // The reports with that name.
  std::vector<std::string> lines(const std::string& name) const {
    std::vector<std::string> found;
    for (const std::string& line : lines_) {
      if (line.starts_with(name + ": ")) found.push_back(line);
    }
    return found;
  }

 private:
  std::vector<std::string> lines_;
};

// Changes a setting of the server until the end of the test.
class Setting {
 public:
  Setting(std::string name, const std::string& value) : name_{std::move(name)} {
    alter("SET " + name_ + " = '" + value + "'");
  }
  ~Setting() { alter("RESET " + name_); }
  Setting(const Setting&) = delete;
  Setting& operator=(const Setting&) = delete;

 private:
  void alter(const std::string& what) const {
    Connection admin{server_uri()};
    admin.run_script("ALTER SYSTEM " + what);
    const std::string before = shown();
    admin.run_script("SELECT pg_reload_conf()");
    wait_until([&] { return shown() != before; });
  }
  // In a new session: the server tells all that are there of a change before it starts another.
  std::string shown() const {
    return Connection{server_uri()}.run_once(("SHOW " + name_).c_str()).text(0, 0);
  }

  std::string name_;
};

// --- one connection

TEST_CASE("a statement that is not answered in time ends, and its connection with it") {
  Relay relay{server_port()};
  Connection connection{by_way_of({relay.port()})};
  connection.set_deadline(200ms);
  CHECK(connection.run_once("SELECT 1").integer(0, 0) == 1);
  relay.freeze();
  const std::string told = told_by<ConnectionError>([&] { connection.run("SELECT 1"); });
  check_tells(told, {"no answer from PostgreSQL at 127.0.0.1:" + std::to_string(relay.port()),
                     "within 200 ms", "may have taken effect"});
  CHECK(connection.is_broken());
  CHECK(connection.was_silent());
  CHECK_THROWS_AS(connection.run("SELECT 1"), NotDoneError);
}

TEST_CASE("a script that is not answered in time ends too") {
  Connection connection{server_uri()};
  connection.set_deadline(200ms);
  CHECK_THROWS_AS(connection.run_script("SELECT pg_sleep(60)"), ConnectionError);
  CHECK(connection.is_broken());
}

TEST_CASE("a server that accepts connections but never answers counts as unreachable") {
  Relay relay{server_port()};
  relay.freeze();
  const std::string told =
      told_by<NotDoneError>([&] { Connection{by_way_of({relay.port()}) + "?connect_timeout=0"}; });
  check_tells(told, {"cannot connect to PostgreSQL", std::to_string(relay.port())});
}

TEST_CASE("a hanging server among several is passed over") {
  Relay hanging{server_port()};
  hanging.freeze();
  Connection connection{by_way_of({hanging.port(), server_port()})};
  CHECK(connection.run_once("SELECT 1").integer(0, 0) == 1);
  CHECK(hanging.accepted() == 1);
}

TEST_CASE("if no server can be reached, each is named") {
  Relay first{server_port()};
  Relay second{server_port()};
  first.close();
  second.close();
  const std::string told = told_by<NotDoneError>([&] {
    Connection{by_way_of({first.port(), second.port()})};
  });
  check_tells(told, {std::to_string(first.port()), std::to_string(second.port()), "refused"});
}

TEST_CASE("a large statement is sent while answers arrive") {
  Connection connection{server_uri()};
  connection.set_deadline(long_enough);
  const std::string large(16'000'000, 'x');
  Parameters parameters;
  parameters.add(std::string_view{large});
  CHECK(connection.run("SELECT $1 || $1", parameters).bytes(0, 0).size() == 2 * large.size());
  // The notices fill the socket's buffers before the server has read the statement.
  connection.run_script(
      "DO $$ BEGIN FOR i IN 1 .. 20 LOOP RAISE NOTICE '%', repeat('x', 1000000);"
      " END LOOP; END $$; SELECT '" +
      large + "'");
  CHECK(connection.run_once("SELECT 1").integer(0, 0) == 1);
}

TEST_CASE("a refused statement leaves its connection usable") {
  Connection connection{server_uri()};
  CHECK_THROWS_AS(connection.run_once("SELECT 1 / 0"), StatementError);
  CHECK_THROWS_AS(connection.run_script("SELECT 1; SELECT 1 / 0; SELECT 2"), StatementError);
  CHECK(connection.run_once("SELECT 1").integer(0, 0) == 1);
}

TEST_CASE("an error at the commit is a statement error") {
  Connection connection{server_uri()};
  connection.run_script(
      "CREATE TEMP TABLE once (n integer UNIQUE DEFERRABLE INITIALLY DEFERRED);"
      "INSERT INTO once VALUES (1)");
  CHECK_THROWS_AS(connection.run("INSERT INTO once VALUES (1)"), StatementError);
}

TEST_CASE("a server that has become read-only is given up") {
  Connection connection{server_uri()};
  connection.expect_writable();
  connection.run_script("SET default_transaction_read_only = on");
  SECTION("when it is asked") {
    check_tells(told_by<NotDoneError>([&] { connection.expect_writable(); }),
                {"accepts no writes", "127.0.0.1"});
  }
  SECTION("when it refuses a write") {
    check_tells(told_by<NotDoneError>([&] { connection.run("CREATE TABLE refused (n integer)"); }),
                {"accepts no writes", "read-only"});
  }
  CHECK(connection.is_broken());
}

TEST_CASE("whether a statement that the server ended took effect is known") {
  for (const bool is_trusted : {true, false}) {
    Connection connection{server_uri()};
    if (is_trusted) connection.trust_errors();
    const auto backend = backend_of(connection);
    std::thread other{[&] {
      wait_until_busy(backend,
                      "SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'");
      terminate(backend);
    }};
    bool was_not_done = false;
    try {
      connection.run("SELECT pg_sleep(60)");
    } catch (const NotDoneError&) {
      was_not_done = true;
    } catch (const ConnectionError&) {
    }
    other.join();
    CHECK(connection.is_broken());
    CHECK(was_not_done == is_trusted);
  }
}

TEST_CASE("a script that the server ended may have taken effect") {
  Connection connection{server_uri()};
  connection.trust_errors();
  const auto backend = backend_of(connection);
  std::thread other{[&] {
    wait_until_busy(backend,
                    "SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'");
    terminate(backend);
  }};
  const std::string told =
      told_by<ConnectionError>([&] { connection.run_script("SELECT 1; SELECT pg_sleep(60)"); });
  other.join();
  check_tells(told, {"may have taken effect"});
}

TEST_CASE("a commit that stops waiting for its standby has an unknown outcome") {
  Connection writer{server_uri()};
  writer.run_script("CREATE TABLE IF NOT EXISTS doubtful (n integer)");
  const auto backend = backend_of(writer);
  const bool is_terminated = GENERATE(false, true);
  const bool is_script = GENERATE(false, true);
  const Setting setting{"synchronous_standby_names", "nobody"};
  std::thread other{[&] {
    wait_until_busy(backend,
                    "SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'SyncRep'");
    Connection{server_uri()}.run_script(
        (is_terminated ? "SELECT pg_terminate_backend(" : "SELECT pg_cancel_backend(") +
        std::to_string(backend) + ")");
  }};
  const std::string told = told_by<ConnectionError>([&] {
    constexpr const char* insert = "INSERT INTO doubtful VALUES (1)";
    is_script ? writer.run_script(insert) : static_cast<void>(writer.run(insert));
  });
  other.join();
  check_tells(told, {"was committed on PostgreSQL at 127.0.0.1", "standby", "outcome is unknown"});
  CHECK(writer.is_broken());
}

// --- a pool

TEST_CASE("a connection that was ended while it was idle is not lent") {
  Pool pool{server_uri(), sql::set_up};
  const auto generation = pool.generation();
  for (int i = 0; i < 10; ++i) {
    terminate(pool.with(backend_of));
    int runs = 0;
    pool.with([&](Connection& connection) {
      ++runs;
      connection.run("SELECT 1");
    });
    CHECK(runs == 1);
  }
  CHECK(pool.generation() == generation);
}

TEST_CASE("a session that the server ended for idling is not lent") {
  Pool pool{server_uri(), std::string{sql::set_up} + "; SET idle_session_timeout = '50ms'"};
  const auto backend = pool.with(backend_of);
  Connection admin{server_uri()};
  Parameters parameters;
  parameters.add(backend);
  wait_until([&] {
    return admin.run("SELECT FROM pg_stat_activity WHERE pid = $1", parameters).rows() == 0;
  });
  CHECK(pool.with(backend_of) != backend);
}

TEST_CASE("work that certainly had no effect is done once more, on another connection") {
  Pool pool{server_uri(), sql::set_up};
  int runs = 0;
  const auto write = [&](Connection& connection) {
    if (++runs == 1) connection.run_script("SET default_transaction_read_only = on");
    connection.run("CREATE TEMP TABLE written (n integer)");
    connection.run("INSERT INTO pg_temp.written VALUES (1)");
    connection.run_script("CREATE TABLE IF NOT EXISTS really_written (n integer)");
  };
  pool.with(write);
  CHECK(runs == 2);
  CHECK_THROWS_AS(pool.with([&](Connection& connection) {
    ++runs;
    connection.run_script("SET default_transaction_read_only = on");
    connection.expect_writable();
  }),
                  NotDoneError);
  CHECK(runs == 4);
}

TEST_CASE("a connection that is returned inside a transaction is not lent again") {
  Pool pool{server_uri(), sql::set_up};
  const auto first = pool.with([](Connection& connection) {
    connection.run_script("BEGIN");
    return backend_of(connection);
  });
  CHECK(pool.with(backend_of) != first);
}

TEST_CASE("a deadline set for one call does not apply to the next") {
  Pool pool{server_uri(), sql::set_up, {}, long_enough};
  pool.with([](Connection& connection) { connection.set_deadline(0ms); });
  pool.with([](Connection& connection) { connection.run("SELECT 1"); });
}

TEST_CASE("a pool goes on with another server, and reports it") {
  Relay first{server_port()};
  Relay second{server_port()};
  Reports reports;
  Pool pool{by_way_of({first.port(), second.port()}), sql::set_up, reports.receiver(), 1'000ms};
  pool.with(backend_of);
  const auto generation = pool.generation();
  const bool does_hang = GENERATE(false, true);
  CAPTURE(does_hang);
  if (does_hang) {
    first.freeze();
    CHECK_THROWS_AS(pool.with(backend_of), ConnectionError);
    CHECK(first.accepted() == 1);
  } else {
    first.close();
  }
  pool.with(backend_of);
  CHECK(pool.generation() != generation);
  REQUIRE(reports.lines("database_changed").size() == 1);
  check_tells(reports.lines("database_changed").front(),
              {"database_changed: PostgreSQL at 127.0.0.1:" + std::to_string(second.port()) +
                   " answers now, timeline 1",
               "before: 127.0.0.1:" + std::to_string(first.port())});
}

TEST_CASE("the first server is reported, with the schema") {
  const TemporarySchema schema;
  Reports reports;
  Pool pool{schema.uri(), sql::set_up, reports.receiver()};
  terminate(pool.with(backend_of));
  pool.with(backend_of);
  REQUIRE(reports.lines("database_connected").size() == 1);
  const std::string name = schema.uri().substr(schema.uri().rfind("3D") + 2);
  check_tells(reports.lines("database_connected").front(),
              {"PostgreSQL 1", "at 127.0.0.1:", ", schema " + name + ", timeline 1"});
}

TEST_CASE("after a failure a pool fails immediately for a moment") {
  Relay relay{server_port()};
  Pool pool{by_way_of({relay.port()}), sql::set_up};
  pool.with(backend_of);
  relay.close();
  const std::string first = told_by<NotDoneError>([&] { pool.with(backend_of); });
  check_tells(first, {"cannot connect to PostgreSQL", std::to_string(relay.port())});
  CHECK(told_by<NotDoneError>([&] { pool.with(backend_of); }) == first);
}

TEST_CASE("a new connection shows only data that is on the standby") {
  Pool pool{server_uri(), sql::set_up, {}, 500ms};
  {
    const Setting setting{"synchronous_standby_names", "nobody"};
    check_tells(told_by<NotDoneError>([&] { pool.with(backend_of); }),
                {"no answer from PostgreSQL", "standby"});
  }
  std::this_thread::sleep_for(100ms);
  pool.with(backend_of);
}

TEST_CASE("a pool's connections are set up whatever the server's settings are") {
  const std::string settings =
      "options=-csynchronous_commit%3Dlocal%20-cstatement_timeout%3D7000%20-clock_timeout%3D0";
  Pool pool{server_uri() + "?" + settings, sql::set_up};
  const auto shown = [&](const char* name) {
    return pool.with([&](Connection& connection) {
      return connection.run_once((std::string{"SHOW "} + name).c_str()).text(0, 0);
    });
  };
  CHECK(shown("synchronous_commit") == "on");
  CHECK(shown("statement_timeout") == "7s");
  CHECK(shown("lock_timeout") == "5s");
  CHECK(shown("idle_in_transaction_session_timeout") == "1min");
  CHECK(shown("jit") == "off");
}

TEST_CASE("a plan made for empty tables uses the index") {
  const TemporarySchema schema;
  Pool pool{schema.uri(), sql::set_up};
  pool.with([](Connection& connection) {
    make_schema(connection);
    connection.run_script(
        "SET plan_cache_mode = force_generic_plan;"
        "PREPARE names (text, bigint) AS " +
        std::string{sql::select_names} +
        ";"
        "PREPARE forget (bigint, bigint) AS " +
        sql::forget_names +
        ";"
        "PREPARE prune (text[], bigint[]) AS " +
        sql::delete_pruned);
    for (const char* explain :
         {"EXPLAIN EXECUTE names (NULL, NULL)", "EXPLAIN EXECUTE forget (NULL, NULL)",
          "EXPLAIN EXECUTE prune (NULL, NULL)"}) {
      const Result plan = connection.run_once(explain);
      for (int at = 0; at < plan.rows(); ++at) {
        CHECK(plan.text(at, 0).find("Seq Scan") == std::string::npos);
      }
    }
  });
}

TEST_CASE("a transaction's commit is durable, or stronger if the server says so") {
  for (const auto& [wanted, found] :
       {std::pair{"off", "on"}, {"remote_write", "on"}, {"remote_apply", "remote_apply"}}) {
    Connection connection{server_uri()};
    connection.run_script("SET synchronous_commit = " + std::string{wanted});
    connection.run_script(sql::begin_durable);
    CHECK(connection.run_once("SHOW synchronous_commit").text(0, 0) == found);
    connection.run_script("COMMIT");
    CHECK(connection.run_once("SHOW synchronous_commit").text(0, 0) == wanted);
  }
}

TEST_CASE("a warning of the server is reported once") {
  Reports reports;
  Pool pool{server_uri(), sql::set_up, reports.receiver()};
  for (int i = 0; i < 3; ++i) {
    pool.with([](Connection& connection) {
      connection.run_script("DO $$ BEGIN RAISE WARNING 'the ice is thin'; END $$");
    });
  }
  REQUIRE(reports.lines("database_warning").size() == 1);
  check_tells(reports.lines("database_warning").front(), {"database_warning: ", "the ice is thin"});
}

// --- the ledger in it

TEST_CASE("a server with another ledger than before is refused") {
  const TemporarySchema schema;
  Pool pool{schema.uri(), sql::set_up};
  pool.with([](Connection& connection) { make_schema(connection); });
  terminate(pool.with(backend_of));
  terminate(pool.with(backend_of));
  Connection{schema.uri()}.run_script("UPDATE credits_ledger SET ledger_id = 'other'");
  check_tells(told_by<NotDoneError>([&] { pool.with(backend_of); }),
              {"another ledger (other)", "restart"});
}

TEST_CASE("a schema that has become newer is no longer written to") {
  const TemporarySchema schema;
  Pool pool{schema.uri(), sql::set_up};
  pool.with([](Connection& connection) { make_schema(connection); });
  terminate(pool.with(backend_of));
  Connection{schema.uri()}.run_script("UPDATE credits_ledger SET schema_version = 9");
  check_tells(told_as(StoreErrorKind::broken, [&] { pool.with(backend_of); }),
              {"schema version 9"});
  check_tells(told_as(StoreErrorKind::broken, [&] { pool.with(backend_of); }),
              {"schema version 9"});
}

TEST_CASE("the ledger is that of the first schema in the search path") {
  const TemporarySchema first;
  const TemporarySchema second;
  Connection{second.uri()}.run_script(sql::schema);
  const std::string name = first.uri().substr(first.uri().rfind("3D") + 2);
  const std::string both = first.uri() + "," + second.uri().substr(second.uri().rfind("3D") + 2);
  Connection connection{both};
  check_tells(told_by<StoreError>([&] { expect_schema(connection); }),
              {"no ledger in that database, in the schema " + name});
  Reports reports;
  make_schema(connection, reports.receiver());
  REQUIRE(reports.lines("ledger_in_other_schema").size() == 1);
  check_tells(reports.lines("ledger_in_other_schema").front(),
              {"ledger_in_other_schema: ", name, "is left alone"});
  expect_schema(connection);
  CHECK(ask_server(connection).schema == name);
  make_schema(connection, reports.receiver());
  CHECK(reports.lines("ledger_in_other_schema").size() == 1);
}

TEST_CASE("a search path that leads nowhere is refused") {
  Connection connection{server_uri() + "?options=-csearch_path%3Dnowhere"};
  check_tells(told_by<StoreError>([&] { make_schema(connection); }),
              {"search path (nowhere)", "GRANT CREATE, USAGE"});
}

TEST_CASE("a user who may not create tables learns what would help") {
  const TemporarySchema schema;
  const std::string name = schema.uri().substr(schema.uri().rfind("3D") + 2);
  schema.run(
      "DROP ROLE IF EXISTS \"a guest\"; CREATE ROLE \"a guest\" LOGIN;"
      "GRANT USAGE ON SCHEMA " +
      name + " TO \"a guest\"");
  std::string uri = schema.uri();
  uri.replace(uri.find("postgres@"), 9, "a%20guest@");
  {
    Connection connection{uri};
    check_tells(told_by<StoreError>([&] { make_schema(connection); }),
                {"permission denied", "GRANT CREATE, USAGE ON SCHEMA " + name + " TO \"a guest\""});
  }
  schema.run("DROP OWNED BY \"a guest\"; DROP ROLE \"a guest\"");
}

TEST_CASE("a short statement_timeout is reported") {
  for (const auto& [timeout, count] : {std::pair{"50", 1U}, {"5000", 0U}, {"0", 0U}}) {
    Connection connection{server_uri() + "?options=-cstatement_timeout%3D" + timeout};
    Reports reports;
    check_server(connection, reports.receiver());
    CHECK(reports.lines("statement_timeout_short").size() == count);
    if (count == 1)
      check_tells(reports.lines("statement_timeout_short").front(),
                  {"statement_timeout_short: ", "50ms"});
  }
}

TEST_CASE("a statement refused for lack of room says so") {
  const StatementError full{"could not extend file", "53100"};
  CHECK(full.kind() == StoreErrorKind::full);
  check_tells(full.what(), {"could not extend file", "make room"});
  CHECK(StatementError{"too many connections", "53300"}.kind() == StoreErrorKind::unavailable);
  CHECK(StatementError{"permission denied", "42501"}.kind() == StoreErrorKind::refused);
}

TEST_CASE("a change of server is described") {
  const Server before{"a:1", "15", 5, "0000000A", 1, "public", "x"};
  CHECK(difference(before, {"a:1", "15", 5, "0000000A", 2, "public", "x"}).empty());
  CHECK(difference(before, {"a:1", "15", 6, "0000000A", 2, "public", "x"}) ==
        "PostgreSQL at a:1 was started again, timeline 10");
  CHECK(difference(before, {"b:1", "15", 6, "0000000B", 2, "public", "x"}) ==
        "PostgreSQL at b:1 answers now, timeline 11 (before: a:1, timeline 10)");
  check_tells(difference(before, {"b:1", "15", 6, "00000009", 2, "public", "x"}),
              {"timeline 9 (before: a:1, timeline 10)", "may lack"});
}

}  // namespace
}  // namespace credits::persistence::postgres
