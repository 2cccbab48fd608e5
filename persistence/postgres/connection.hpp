// One connection to PostgreSQL by libpq. It waits for no answer without end.
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
  explicit ConnectionError(const std::string& text)
      : StoreError{StoreErrorKind::unavailable, text} {}
};

// The same where nothing was done: of a statement, or of the transaction that it was a part of.
class NotDoneError : public ConnectionError {
 public:
  using ConnectionError::ConnectionError;
};

// The server has refused a statement, and has done nothing of it; `code` is the SQLSTATE.
class StatementError : public StoreError {
 public:
  StatementError(const std::string& text, std::string code);

  const std::string& code() const { return code_; }
  // Of two transactions that got into each other's way, which may be tried again.
  bool is_transient() const;

 private:
  std::string code_;
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

}  // namespace credits::persistence::postgres
