// Connections that several threads share, made again with backoff, to whichever server takes
// writes.
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

// Connections that threads take and give back. One that the server has ended meanwhile is not lent.
// When one breaks, all that were made before it are given up, and a new generation begins: what was
// read in an earlier one may not be so any more, as another server may answer now. So it does
// where another one is seen to answer.
//
// What a new connection shows is durable: before it is lent, a commit of its own has come through,
// to the standbys too that the server waits for. It is refused if the server takes no writes, has
// another ledger than the one before, or a newer schema.
class Pool {
 public:
  using Generation = std::uint64_t;

  // `set_up` are statements that each new connection begins with. `tell` gets who
  // answers as "database_connected" and, when it is another one, "database_changed"; and each
  // warning of a server once, as "database_warning". `deadline` is that
  // of each call on its connections.
  Pool(const std::string& uri, std::string set_up, Tell tell = {},
       std::chrono::milliseconds deadline = answer_within)
      : set_up_{std::move(set_up)}, tell_{std::move(tell)}, deadline_{deadline}, hosts_{uri} {}

  // Runs `work` on a connection; twice if the first turns out to be lost with nothing done. So it
  // is one transaction, or can be repeated. Where no connection can be made it fails at once until
  // some time has passed since the last try, longer each time.
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

  // A new connection that is the caller's, and goes before the pool does.
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
  void tell_once(std::string_view name, const std::string& text);

  const std::string set_up_;
  const Tell tell_;
  const std::chrono::milliseconds deadline_;
  mutable std::mutex mutex_;  // guards all below
  Hosts hosts_;
  Generation generation_ = 1;
  std::vector<std::unique_ptr<Connection>> idle_;  // of this generation
  std::chrono::steady_clock::time_point next_try_{};
  std::chrono::milliseconds backoff_{0};
  std::exception_ptr last_failure_;
  std::minstd_rand jitter_{std::random_device{}()};
  std::optional<Server> server_;        // that answered last
  std::string ledger_id_;               // the first that was seen
  std::set<std::string> has_sessions_;  // poolers that give each connection its own
  std::set<std::string> told_;
};

}  // namespace credits::persistence::postgres
