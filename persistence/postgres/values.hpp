// The parameters and results of PostgreSQL's statements: values and arrays in its binary format,
// and rows of results.
#pragma once

#include <libpq-fe.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace credits::persistence::postgres {

// Values for the $1, $2, … of a statement.
class Parameters {
 public:
  void add(std::int64_t value);
  void add(std::string_view value);
  void add(const std::optional<std::string>& value);

  // An array, whose elements may be null.
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

// An array of one type, built element by element.
class Parameters::Array {
 public:
  static Array of_integers();  // int8[]
  static Array of_texts();     // text[]
  static Array of_bytes();     // bytea[]

  void add(std::int64_t value);
  void add(std::string_view value);  // for texts and bytes
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
  // A field of an error, by its PG_DIAG_… code; empty if there is none.
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

}  // namespace credits::persistence::postgres
