#include "persistence/postgres.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace credits::persistence::postgres {

namespace {

using std::chrono::steady_clock;

// pg_type's numbers, which never change.
constexpr Oid int8_type = 20;
constexpr Oid text_type = 25;
constexpr Oid bytea_type = 17;
constexpr Oid int8_array_type = 1016;
constexpr Oid text_array_type = 1009;
constexpr Oid bytea_array_type = 1001;

constexpr int binary = 1;
constexpr std::chrono::milliseconds backoff_min{100};
constexpr std::chrono::milliseconds backoff_max{5'000};

// Network order, as PostgreSQL's binary format wants it.
template <class Integer>
void append_integer(std::string& bytes, Integer value) {
  for (int shift = static_cast<int>(sizeof(Integer)) * 8 - 8; shift >= 0; shift -= 8) {
    bytes += static_cast<char>(value >> shift);
  }
}

// Of libpq's messages the last line break goes.
std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

}  // namespace

bool StatementError::is_transient() const {
  constexpr std::array<std::string_view, 2> transient{"40001", "40P01"};  // serialization, deadlock
  return std::find(transient.begin(), transient.end(), code_) != transient.end();
}

void Parameters::add(std::int64_t value) {
  std::string bytes;
  append_integer(bytes, value);
  values_.push_back({int8_type, std::move(bytes)});
}

void Parameters::add(std::string_view value) { values_.push_back({text_type, std::string{value}}); }

void Parameters::add(const std::optional<std::string>& value) {
  values_.push_back({text_type, value});
}

void Parameters::add(const Array& array) {
  std::string bytes;
  append_integer(bytes, std::int32_t{array.count_ > 0});  // dimensions
  append_integer(bytes, std::int32_t{array.has_null_});
  append_integer(bytes, static_cast<std::int32_t>(array.element_type_));
  if (array.count_ > 0) {
    append_integer(bytes, static_cast<std::int32_t>(array.count_));
    append_integer(bytes, std::int32_t{1});  // the first one's index
  }
  values_.push_back({array.array_type_, bytes + array.elements_});
}

Parameters::Array Parameters::Array::of_integers() { return {int8_array_type, int8_type}; }
Parameters::Array Parameters::Array::of_texts() { return {text_array_type, text_type}; }
Parameters::Array Parameters::Array::of_bytes() { return {bytea_array_type, bytea_type}; }

void Parameters::Array::add(std::int64_t value) {
  ++count_;
  append_integer(elements_, std::int32_t{sizeof(value)});
  append_integer(elements_, value);
}

void Parameters::Array::add(std::string_view value) {
  ++count_;
  append_integer(elements_, static_cast<std::int32_t>(value.size()));
  elements_ += value;
}

void Parameters::Array::add_null() {
  ++count_;
  has_null_ = true;
  append_integer(elements_, std::int32_t{-1});
}

std::int64_t Result::integer(int row, int column) const {
  const std::string_view value = bytes(row, column);
  const bool is_negative = value.size() > 1 && (value.front() & '\x80') != 0;
  std::uint64_t number = is_negative ? ~std::uint64_t{0} : 0;
  for (const char byte : value) number = number << 8U | static_cast<unsigned char>(byte);
  return static_cast<std::int64_t>(number);
}

std::string_view Result::bytes(int row, int column) const {
  return {::PQgetvalue(result_.get(), row, column),
          static_cast<std::size_t>(::PQgetlength(result_.get(), row, column))};
}

Connection::Connection(const std::string& uri) : connection_{nullptr, ::PQfinish} {
  // Those before `dbname` are what the URI may set otherwise.
  const std::array<const char*, 9> keywords{
      "connect_timeout",      "tcp_user_timeout", "keepalives_idle",
      "keepalives_interval",  "keepalives_count", "application_name",
      "target_session_attrs", "dbname",           nullptr};
  const std::array<const char*, 9> values{"5",        "10000",      "5",         "2",    "3",
                                          "creditsd", "read-write", uri.c_str(), nullptr};
  constexpr int expand_dbname = 1;
  connection_.reset(::PQconnectdbParams(keywords.data(), values.data(), expand_dbname));
  if (is_broken()) {
    throw ConnectionError{"cannot connect to PostgreSQL: " +
                          trimmed(::PQerrorMessage(connection_.get()))};
  }
  ::PQsetNoticeProcessor(
      connection_.get(), [](void*, const char*) {}, nullptr);
}

std::string Connection::parameter(const char* name) const {
  const char* const value = ::PQparameterStatus(connection_.get(), name);
  return value ? value : "";
}

std::string Connection::server() const {
  const char* const host = ::PQhost(connection_.get());
  const char* const port = ::PQport(connection_.get());
  return std::string{host ? host : ""} + ":" + (port ? port : "");
}

std::string Connection::prepare(const char* statement, const Parameters& parameters) {
  const auto known = std::find(prepared_.begin(), prepared_.end(), statement);
  const std::string name = "s" + std::to_string(known - prepared_.begin());
  if (known != prepared_.end()) return name;
  std::vector<Oid> types;
  for (const auto& value : parameters.values_) types.push_back(value.type);
  checked(::PQprepare(connection_.get(), name.c_str(), statement, static_cast<int>(types.size()),
                      types.data()));
  prepared_.push_back(statement);
  return name;
}

Result Connection::run(const char* statement, const Parameters& parameters) {
  const std::string name = prepare(statement, parameters);
  std::vector<const char*> values;
  std::vector<int> lengths;
  for (const auto& value : parameters.values_) {
    values.push_back(value.bytes ? value.bytes->data() : nullptr);
    lengths.push_back(value.bytes ? static_cast<int>(value.bytes->size()) : 0);
  }
  const std::vector<int> formats(values.size(), binary);
  return checked(::PQexecPrepared(connection_.get(), name.c_str(), static_cast<int>(values.size()),
                                  values.data(), lengths.data(), formats.data(), binary));
}

void Connection::expect_writable() {
  if (run("SELECT current_setting('transaction_read_only')").text(0, 0) != "on") return;
  throw NotDoneError{"PostgreSQL at " + server() + " takes no writes"};
}

void Connection::run_script(const std::string& statements) {
  checked(::PQexec(connection_.get(), statements.c_str()));
}

Result Connection::checked(PGresult* result) {
  Result owned{result};
  const ExecStatusType status = ::PQresultStatus(result);
  if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) return owned;
  const std::string told = trimmed(::PQerrorMessage(connection_.get()));
  const char* const code = ::PQresultErrorField(result, PG_DIAG_SQLSTATE);
  if (is_broken() || !code) {
    throw ConnectionError{"the connection to PostgreSQL at " + server() + " is lost: " + told};
  }
  throw StatementError{"PostgreSQL at " + server() + ": " + told, code};
}

Pool::Lease::Lease(Pool& owner) : pool{owner} { connection = pool.take(generation); }

std::unique_ptr<Connection> Pool::take(Generation& generation) {
  {
    const std::lock_guard lock{mutex_};
    generation = generation_;
    if (!idle_.empty()) {
      auto connection = std::move(idle_.back());
      idle_.pop_back();
      return connection;
    }
    if (steady_clock::now() < next_try_) throw ConnectionError{last_failure_};
  }
  return connect();
}

std::unique_ptr<Connection> Pool::connect() {
  try {
    auto connection = std::make_unique<Connection>(uri_);
    connection->run_script(set_up_);
    const std::lock_guard lock{mutex_};
    backoff_ = std::chrono::milliseconds{0};
    return connection;
  } catch (const ConnectionError& error) {
    const std::lock_guard lock{mutex_};
    backoff_ = std::clamp(backoff_ * 2, backoff_min, backoff_max);
    next_try_ = steady_clock::now() + backoff_;
    last_failure_ = error.what();
    throw;
  }
}

void Pool::give_back(std::unique_ptr<Connection> connection, Generation generation) {
  if (!connection) return;
  const std::lock_guard lock{mutex_};
  if (connection->is_broken()) {
    if (generation == generation_) {
      ++generation_;
      idle_.clear();
    }
  } else if (generation == generation_) {
    idle_.push_back(std::move(connection));
  }
}

Pool::Generation Pool::generation() const {
  const std::lock_guard lock{mutex_};
  return generation_;
}

}  // namespace credits::persistence::postgres
