// PostgreSQL by libpq, as much of it as the engine needs: connections that are made again with
// backoff, statements with values and arrays in PostgreSQL's binary format, and rows of results.
//
// Every function throws StoreError; the text names the server, never a password.
#pragma once

#include <libpq-fe.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "persistence/store.hpp"

namespace credits::persistence::postgres {

// The connection is lost, or could not be made: what was under way may have been done.
class ConnectionError : public StoreError {
 public:
  using StoreError::StoreError;
};

// The connection is lost or given up, and what was under way was certainly not done.
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

// One thread at a time.
class Connection {
 public:
  // `uri` as libpq takes it; what it leaves open is set so that a failed server is noticed, and of
  // several the one that takes writes is chosen.
  explicit Connection(const std::string& uri);

  // Prepared at the first use on this connection; `statement` must live as long as it.
  Result run(const char* statement, const Parameters& parameters = {});
  // Several statements, without values.
  void run_script(const std::string& statements);

  // Gives the connection up, by NotDoneError, if the server takes no writes.
  void expect_writable();

  bool is_broken() const { return ::PQstatus(connection_.get()) != CONNECTION_OK; }
  std::string parameter(const char* name) const;

 private:
  Result checked(PGresult* result);
  std::string server() const;
  std::string prepare(const char* statement, const Parameters& parameters);

  std::unique_ptr<PGconn, decltype(&::PQfinish)> connection_;
  std::vector<const char*> prepared_;
};

// Connections that threads take and give back. When one breaks, all that were made before it are
// given up, and a new generation begins: what was read in an earlier one may not be so any more, as
// another server may answer now.
class Pool {
 public:
  using Generation = std::uint64_t;

  // `set_up` are statements that each new connection begins with.
  Pool(std::string uri, std::string set_up) : uri_{std::move(uri)}, set_up_{std::move(set_up)} {}

  // Runs `work` on a connection. Where none can be made it fails at once until some time has passed
  // since the last try, longer each time.
  template <class Work>
  auto with(const Work& work) {
    Lease lease{*this};
    return work(*lease.connection);
  }

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
  std::unique_ptr<Connection> connect();
  void give_back(std::unique_ptr<Connection> connection, Generation generation);

  const std::string uri_;
  const std::string set_up_;
  mutable std::mutex mutex_;  // guards all below
  Generation generation_ = 1;
  std::vector<std::unique_ptr<Connection>> idle_;  // of this generation
  std::chrono::steady_clock::time_point next_try_{};
  std::chrono::milliseconds backoff_{0};
  std::string last_failure_;
};

}  // namespace credits::persistence::postgres
