#include "persistence/postgres/pool.hpp"

#include <algorithm>
#include <utility>

namespace credits::persistence::postgres {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds backoff_min{50};
constexpr milliseconds backoff_max{1'000};
// An attempt that takes longer has met a hanging server.
constexpr milliseconds try_slow{1'500};
constexpr std::size_t reported_max = 100;

}  // namespace

Pool::Lease::Lease(Pool& owner) : pool{owner} { connection = pool.take(generation); }

std::unique_ptr<Connection> Pool::take(Generation& generation) {
  while (auto connection = take_idle(generation)) {
    if (connection->is_usable()) return connection;
  }
  return connect(generation);
}

std::unique_ptr<Connection> Pool::take_idle(Generation& generation) {
  const std::lock_guard lock{mutex_};
  generation = generation_;
  if (idle_.empty()) return nullptr;
  auto connection = std::move(idle_.back());
  idle_.pop_back();
  return connection;
}

std::unique_ptr<Connection> Pool::separate() {
  Generation generation = 0;
  auto connection = connect(generation);
  connection->set_deadline(whole_ledger_within);
  return connection;
}

std::unique_ptr<Connection> Pool::connect(Generation& generation) {
  const Hosts hosts = hosts_now();
  std::string failures;
  try {
    for (const Host& host : hosts.in_order()) {
      const auto begun = steady_clock::now();
      try {
        return connect_to(hosts, host, generation);
      } catch (const ConnectionError& error) {
        failures.append(failures.empty() ? "" : "; ").append(reason_of(error));
        if (steady_clock::now() - begun > try_slow) put_last(host);
      }
    }
    throw NotDoneError{"cannot connect to PostgreSQL: " + failures};
  } catch (const StoreError&) {
    fail(std::current_exception());
    throw;
  }
}

std::unique_ptr<Connection> Pool::connect_to(const Hosts& hosts, const Host& host,
                                             Generation& generation) {
  auto connection = std::make_unique<Connection>(hosts, host);
  connection->set_deadline(deadline_);
  connection->set_report(
      [this](std::string_view name, const std::string& text) { report_once(name, text); });
  connection->run_script(set_up_);
  const Server server = ask_server(*connection);
  if (is_behind_pooler(*connection, server)) {
    expect_sessions(hosts, host, *connection);
    expect_search_path(*connection, hosts.search_path());
  } else {
    connection->trust_errors();
  }
  connection->expect_writable();
  expect_same_ledger(server);
  pass_barrier(*connection);
  generation = note(server);
  succeed(host);
  return connection;
}

// Checked once for each server: a pooler may be reconfigured while it runs, but its sessions then
// end.
void Pool::expect_sessions(const Hosts& hosts, const Host& host, Connection& connection) {
  {
    const std::lock_guard lock{mutex_};
    if (has_sessions_.contains(connection.server())) return;
  }
  try {
    Connection second{hosts, host};
    second.set_deadline(deadline_);
    expect_own_session(connection, second);
  } catch (const ConnectionError& error) {
    throw NotDoneError{reason_of(error) +
                       ", for a second connection by the pooler that is in between; creditsd needs "
                       "several, so see to its pool size"};
  }
  const std::lock_guard lock{mutex_};
  has_sessions_.insert(connection.server());
}

void Pool::give_back(std::unique_ptr<Connection> connection, Generation generation) {
  if (!connection) return;
  const bool is_whole = !connection->is_broken();
  if (is_whole && connection->is_in_transaction()) return;  // closing it ends the transaction
  connection->set_deadline(deadline_);
  const std::lock_guard lock{mutex_};
  if (connection->was_silent()) hosts_.put_last(connection->host());
  if (generation != generation_) return;
  if (is_whole) {
    idle_.push_back(std::move(connection));
  } else {
    ++generation_;
    idle_.clear();
  }
}

Pool::Generation Pool::generation() const {
  const std::lock_guard lock{mutex_};
  return generation_;
}

Hosts Pool::hosts_now() {
  const std::lock_guard lock{mutex_};
  if (last_failure_ && steady_clock::now() < next_try_) std::rethrow_exception(last_failure_);
  return hosts_;
}

void Pool::succeed(const Host& host) {
  const std::lock_guard lock{mutex_};
  backoff_ = milliseconds{0};
  last_failure_ = nullptr;
  hosts_.put_first(host);
}

// Nodes that lose their server at the same moment do not all reconnect at the same moment.
void Pool::fail(std::exception_ptr failure) {
  const std::lock_guard lock{mutex_};
  backoff_ = std::clamp(backoff_ * 2, backoff_min, backoff_max);
  std::uniform_int_distribution<std::int64_t> part{backoff_.count() / 2, backoff_.count()};
  next_try_ = steady_clock::now() + milliseconds{part(jitter_)};
  last_failure_ = std::move(failure);
}

void Pool::put_last(const Host& host) {
  const std::lock_guard lock{mutex_};
  hosts_.put_last(host);
}

void Pool::expect_same_ledger(const Server& server) {
  const std::lock_guard lock{mutex_};
  if (ledger_id_.empty()) ledger_id_ = server.ledger_id;
  if (ledger_id_ == server.ledger_id) return;
  const std::string found =
      server.ledger_id.empty() ? "no ledger" : "another ledger (" + server.ledger_id + ")";
  throw NotDoneError{"PostgreSQL at " + server.address + ", schema \"" + server.schema +
                     "\", has " + found + " instead of the one that this process began with (" +
                     ledger_id_ + "); correct the URI, or restart to go on with what is there"};
}

Pool::Generation Pool::note(const Server& server) {
  std::string changed;
  bool is_first = false;
  Generation generation = 0;
  {
    const std::lock_guard lock{mutex_};
    is_first = !server_;
    if (server_) changed = difference(*server_, server);
    server_ = server;
    if (!changed.empty()) {
      ++generation_;
      idle_.clear();
    }
    generation = generation_;
  }
  if (report_ && is_first) report_("database_connected", describe(server));
  if (report_ && !changed.empty()) report_("database_changed", changed);
  return generation;
}

// A server may send a warning with each statement.
void Pool::report_once(std::string_view name, const std::string& text) {
  {
    const std::lock_guard lock{mutex_};
    if (reported_.size() == reported_max || !reported_.insert(text).second) return;
  }
  if (report_) report_(name, text);
}

}  // namespace credits::persistence::postgres
