// One connection to PostgreSQL through libpq. Every wait for an answer has a deadline.
//
// Every function throws StoreError; the text names the server, never a password.
#pragma once

#include <libpq-fe.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "persistence/postgres/hosts.hpp"
#include "persistence/postgres/values.hpp"
#include "persistence/store.hpp"

namespace credits::persistence::postgres {

// The default deadline of a call: longer than the statement_timeout that the connection sets, so
// that only a server that does not answer is given up.
inline constexpr std::chrono::milliseconds answer_within{12'000};
// The deadline on connections that read or write a whole ledger.
inline constexpr std::chrono::milliseconds whole_ledger_within{600'000};

// Ends the text of an error whose statement has an unknown outcome.
inline constexpr std::string_view maybe_done = "; the statement under way may have taken effect";

// The connection is lost or could not be made; the statement under way may have taken effect.
class ConnectionError : public StoreError {
 public:
  explicit ConnectionError(const std::string& text)
      : StoreError{StoreErrorKind::unavailable, text} {}
};

// The same, but the statement and its transaction have certainly not taken effect.
class NotDoneError : public ConnectionError {
 public:
  using ConnectionError::ConnectionError;
};

// The server has refused a statement, which had no effect; `code` is the SQLSTATE.
class StatementError : public StoreError {
 public:
  StatementError(const std::string& text, std::string code);

  const std::string& code() const { return code_; }
  // Whether two transactions collided, so that the statement may be tried again.
  bool is_transient() const;

 private:
  std::string code_;
};

// For one thread at a time. A broken connection stays broken.
class Connection {
 public:
  // Connects to the first server of the libpq URI that accepts writes. The deadline is
  // whole_ledger_within.
  explicit Connection(const std::string& uri);
  Connection(const Hosts& hosts, const Host& host);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Runs a statement, and prepares it at its first use. `statement` must outlive the connection.
  Result run(const char* statement, const Parameters& parameters = {});
  // Runs a rare statement without preparing it.
  Result run_once(const char* statement);
  // Runs several statements without parameters.
  void run_script(const std::string& statements);

  // Sets the time after which a call throws ConnectionError and the connection is broken.
  void set_deadline(std::chrono::milliseconds deadline) { deadline_ = deadline; }
  // Sets the receiver of the server's warnings.
  void set_report(Report report) { report_ = std::move(report); }
  // Declares that no pooler is in between; its errors look like the server's.
  void trust_errors() { trusts_errors_ = true; }

  // Throws NotDoneError, and breaks the connection, if the server does not accept writes.
  void expect_writable();

  // Whether the connection can be used. Sends nothing; only reads what the server has sent, such as
  // its end.
  bool is_usable();
  bool is_broken() const { return ::PQstatus(connection_.get()) != CONNECTION_OK; }
  bool is_in_transaction() const {
    return ::PQtransactionStatus(connection_.get()) != PQTRANS_IDLE;
  }
  // Whether it broke because an answer did not come in time.
  bool was_silent() const { return was_silent_; }

  std::string parameter(const char* name) const;
  int backend_id() const { return ::PQbackendPID(connection_.get()); }
  // The server's host and port, for people.
  const std::string& server() const { return server_; }
  // The host of the URI that led to the server.
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
  void report_warnings();

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
  Report report_;
  std::vector<std::string> warnings_;  // not reported yet
  std::string doubt_;  // why a commit may be missing on the standby; empty: it is not
  bool trusts_errors_ = false;
  bool has_ended_ = false;  // the server has announced the end of the session
  bool was_silent_ = false;
};

}  // namespace credits::persistence::postgres
