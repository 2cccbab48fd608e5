// Connections shared by several threads, to whichever server accepts writes. Lost ones are made
// again, with backoff.
//
// Every function throws StoreError; the text names the server, never a password.
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "persistence/postgres/connection.hpp"
#include "persistence/postgres/hosts.hpp"
#include "persistence/postgres/server.hpp"
#include "persistence/store.hpp"

namespace credits::persistence::postgres {

// Threads borrow connections and return them. A connection that the server has ended meanwhile is
// not lent. When one breaks, or another server is found to answer, all older connections are given
// up and a new generation begins: data read in an earlier one may be out of date.
//
// A new connection shows only durable data: before it is lent, a commit of its own must complete,
// also on the standbys that the server waits for. It is refused if the server does not accept
// writes, or has another ledger than before or a newer schema.
class Pool {
 public:
  using Generation = std::uint64_t;

  // Each new connection begins with the statements `set_up`. `report` receives the server as
  // "database_connected", a change of server as "database_changed", and each different warning of a
  // server once, as "database_warning". `deadline` applies to each call on a connection.
  Pool(const std::string& uri, std::string set_up, Report report = {},
       std::chrono::milliseconds deadline = answer_within)
      : set_up_{std::move(set_up)}, report_{std::move(report)}, deadline_{deadline}, hosts_{uri} {}

  // Runs `work` on a connection, and once more if the first one proves lost without an effect.
  // `work` must therefore be one transaction, or repeatable. After a failure to connect, calls fail
  // immediately for a time that grows with each failure.
  template <class Work>
  auto with(const Work& work) {
    for (bool is_last = false;; is_last = true) {
      Lease lease{*this};
      try {
        return work(*lease.connection);
      } catch (const NotDoneError&) {
        if (is_last) throw;
      }
    }
  }

  // A new connection that belongs to the caller. The pool must outlive it.
  std::unique_ptr<Connection> separate();

  Generation generation() const;

 private:
  struct Lease {
    explicit Lease(Pool& owner);
    ~Lease() { pool.give_back(std::move(connection), generation); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

    Pool& pool;
    Generation generation = 0;
    std::unique_ptr<Connection> connection{};
  };

  std::unique_ptr<Connection> take(Generation& generation);
  std::unique_ptr<Connection> take_idle(Generation& generation);
  std::unique_ptr<Connection> connect(Generation& generation);
  std::unique_ptr<Connection> connect_to(const Hosts& hosts, const Host& host,
                                         Generation& generation);
  void expect_sessions(const Hosts& hosts, const Host& host, Connection& connection);
  void give_back(std::unique_ptr<Connection> connection, Generation generation);

  Hosts hosts_now();
  void succeed(const Host& host);
  void fail(std::exception_ptr failure);
  void put_last(const Host& host);
  Generation note(const Server& server);
  void expect_same_ledger(const Server& server);
  void report_once(std::string_view name, const std::string& text);

  const std::string set_up_;
  const Report report_;
  const std::chrono::milliseconds deadline_;
  mutable std::mutex mutex_;  // guards all members below
  Hosts hosts_;
  Generation generation_ = 1;
  std::vector<std::unique_ptr<Connection>> idle_;  // of this generation
  std::chrono::steady_clock::time_point next_try_{};
  std::chrono::milliseconds backoff_{0};
  std::exception_ptr last_failure_;
  std::minstd_rand jitter_{std::random_device{}()};
  std::optional<Server> server_;        // the last one that answered
  std::string ledger_id_;               // of the first ledger that was seen
  std::set<std::string> has_sessions_;  // poolers that give each connection its own session
  std::set<std::string> reported_;
};

}  // namespace credits::persistence::postgres
