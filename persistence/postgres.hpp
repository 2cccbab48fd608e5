// PostgreSQL by libpq, as much of it as the engine needs: connections that wait for no answer
// without end, and that are made again with backoff; statements with values and arrays in
// PostgreSQL's binary format, and rows of results.
//
// Every function throws StoreError; the text names the server, never a password.
#pragma once

#include <libpq-fe.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "persistence/postgres_hosts.hpp"
#include "persistence/store.hpp"

namespace credits::persistence::postgres {

// How long a call waits for its answer, unless it says otherwise: longer than the statement_timeout
// that the server is given, so that only a server that does not answer is given up.
inline constexpr std::chrono::milliseconds answer_within{12'000};
// The same for connections that read or write a whole ledger.
inline constexpr std::chrono::milliseconds whole_ledger_within{600'000};

// Ends the text of an error that leaves this open.
inline constexpr std::string_view maybe_done = "; what was under way may have been done";

// The connection is lost, or could not be made: what was under way may have been done.
class ConnectionError : public StoreError {
 public:
  using StoreError::StoreError;
};

// The same where nothing was done: of a statement, or of the transaction that it was a part of.
class NotDoneError : public ConnectionError {
 public:
  using ConnectionError::ConnectionError;
};

// The server has refused a statement, and has done nothing of it; `code` is the SQLSTATE.
class StatementError : public StoreError {
 public:
  StatementError(const std::string& what, std::string code)
      : StoreError{what}, code_{std::move(code)} {}

  const std::string& code() const { return code_; }
  // Of two transactions that got into each other's way, which may be tried again.
  bool is_transient() const;

 private:
  std::string code_;
};

// Values for the $1, $2, … of a statement.
class Parameters {
 public:
  void add(std::int64_t value);
  void add(std::string_view value);
  void add(const std::optional<std::string>& value);

  // Arrays, of elements that may be absent.
  class Array;
  void add(const Array& array);

 private:
  friend class Connection;

  struct Value {
    Oid type;
    std::optional<std::string> bytes;
  };

  std::vector<Value> values_;
};

// An array of one type, element by element.
class Parameters::Array {
 public:
  static Array of_integers();  // int8[]
  static Array of_texts();     // text[]
  static Array of_bytes();     // bytea[]

  void add(std::int64_t value);
  void add(std::string_view value);  // of texts and bytes
  void add_null();

  template <class Value>
  void add(const std::optional<Value>& value) {
    value ? add(*value) : add_null();
  }

 private:
  friend class Parameters;

  Array(Oid array_type, Oid element_type) : array_type_{array_type}, element_type_{element_type} {}

  Oid array_type_;
  Oid element_type_;
  std::size_t count_ = 0;
  bool has_null_ = false;
  std::string elements_;
};

class Result {
 public:
  explicit Result(PGresult* result) : result_{result, ::PQclear} {}

  ExecStatusType status() const { return ::PQresultStatus(result_.get()); }
  std::string message() const { return ::PQresultErrorMessage(result_.get()); }
  // Of an error: one of PG_DIAG_…; empty if there is none.
  std::string field(int code) const;
  int rows() const { return ::PQntuples(result_.get()); }
  std::int64_t affected() const { return std::atoll(::PQcmdTuples(result_.get())); }
  bool is_null(int row, int column) const { return ::PQgetisnull(result_.get(), row, column) != 0; }
  std::int64_t integer(int row, int column) const;  // of any width; bool too
  std::string_view bytes(int row, int column) const;
  std::string text(int row, int column) const { return std::string{bytes(row, column)}; }

  template <class Read>
  auto optional(int row, int column, Read read) const {
    using Value = std::optional<decltype(read(row, column))>;
    return is_null(row, column) ? Value{} : Value{read(row, column)};
  }

 private:
  std::unique_ptr<PGresult, decltype(&::PQclear)> result_;
};

// One thread at a time. Once it is broken it stays so.
class Connection {
 public:
  // To the first server of `uri`, as libpq takes it, that takes writes. It waits for answers as
  // whole_ledger_within says.
  explicit Connection(const std::string& uri);
  Connection(const Hosts& hosts, const Host& host);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Prepared at the first use on this connection; `statement` must live as long as it.
  Result run(const char* statement, const Parameters& parameters = {});
  // Without being prepared, for what is seldom asked.
  Result run_once(const char* statement);
  // Several statements, without values.
  void run_script(const std::string& statements);

  // Past it a call throws ConnectionError, and the connection is broken.
  void set_deadline(std::chrono::milliseconds deadline) { deadline_ = deadline; }
  // Gets the server's warnings from now on.
  void set_tell(Tell tell) { tell_ = std::move(tell); }
  // Says that no pooler is in between, whose errors read like the server's.
  void trust_errors() { trusts_errors_ = true; }

  // Throws NotDoneError, and breaks the connection, if the server takes no writes (any more).
  void expect_writable();

  // Whether it can be used, without asking: looks at what the server has sent, such as its end.
  bool is_usable();
  bool is_broken() const { return ::PQstatus(connection_.get()) != CONNECTION_OK; }
  bool is_in_transaction() const {
    return ::PQtransactionStatus(connection_.get()) != PQTRANS_IDLE;
  }
  // Whether it broke because no answer came in time.
  bool was_silent() const { return was_silent_; }

  std::string parameter(const char* name) const;
  int backend_id() const { return ::PQbackendPID(connection_.get()); }
  // The server's host and port, for people; and the one of the URI that led there.
  const std::string& server() const { return server_; }
  const Host& host() const { return host_; }

 private:
  using Handle = std::unique_ptr<PGconn, decltype(&::PQfinish)>;
  using Time = std::chrono::steady_clock::time_point;
  enum class Sent : std::uint8_t { statement, script };
  struct Opened {
    Handle connection;
    Host host;
  };
  struct Packed;

  explicit Connection(Opened opened);
  static Opened open(const Hosts& hosts, const Host& host);
  static Opened open_first(const Hosts& hosts);

  Time begin() const;
  std::string prepare(const char* statement, const Parameters& parameters, Time until);
  Result answer(int is_sent, Sent sent, Time until);
  Result collect(Sent sent, Time until);
  void flush(Time until);
  PGresult* next_result(Time until);
  void wait(short events, Time until);
  void hear(const PGresult* notice);
  void tell_warnings();

  void give_up() { connection_.reset(); }
  [[noreturn]] void fail(const Result& failed, bool is_certain);
  [[noreturn]] void fail_silent();
  [[noreturn]] void fail_lost();
  [[noreturn]] void fail_doubtful();

  Handle connection_;
  Host host_;
  std::string server_;
  std::vector<const char*> prepared_;
  std::chrono::milliseconds deadline_ = whole_ledger_within;
  Tell tell_;
  std::vector<std::string> warnings_;  // not told yet
  std::string doubt_;  // why what was committed may not be where it should be; empty: none
  bool trusts_errors_ = false;
  bool has_ended_ = false;  // the server has said so
  bool was_silent_ = false;
};

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
