#include "persistence/postgres/connection.hpp"

#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <string_view>
#include <utility>

#include "persistence/postgres/refusal.hpp"
#include "persistence/postgres/sql.hpp"

namespace credits::persistence::postgres {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int binary = 1;
constexpr std::size_t warnings_max = 16;  // of one call

constexpr std::string_view disk_full = "53100";
constexpr std::string_view read_only = "25006";
constexpr std::string_view shutting_down = "57P01";
constexpr std::string_view idle_too_long = "57P05";
constexpr const char* pooler_advice =
    "a pooler seems to be in between whose connections have no session of their own; set pool_mode "
    "= session for this database";

template <std::size_t count>
bool is_one_of(std::string_view code, const std::array<std::string_view, count>& codes) {
  return std::find(codes.begin(), codes.end(), code) != codes.end();
}

// Whether an error with that code, from the server or a pooler, ends the connection.
bool ends_connection(std::string_view code) {
  constexpr std::array<std::string_view, 5> ends{"57P01", "57P02", "57P03", "57P04", "57P05"};
  return code.starts_with("08") || is_one_of(code, ends);
}

// A prepared statement that is missing, or exists before it is prepared.
bool is_of_another_session(std::string_view code) {
  return is_one_of(code, std::array<std::string_view, 2>{"26000", "42P05"});
}

StoreErrorKind kind_of(const std::string& code) {
  if (code == disk_full) return StoreErrorKind::full;
  return is_passing(code) ? StoreErrorKind::unavailable : StoreErrorKind::refused;
}

// Joins the lines of libpq's message.
std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

std::string text_of(milliseconds time) {
  return time.count() % 1'000 == 0 ? std::to_string(time.count() / 1'000) + " s"
                                   : std::to_string(time.count()) + " ms";
}

std::string field_of(const PGresult* notice, int code) {
  const char* const value = ::PQresultErrorField(notice, code);
  return value ? value : "";
}

// Whether a commit no longer waits for its standby. The text may be in the server's language.
bool ends_wait_for_standby(const PGresult* notice) {
  return field_of(notice, PG_DIAG_SOURCE_FUNCTION) == "SyncRepWaitForLSN" ||
         field_of(notice, PG_DIAG_MESSAGE_PRIMARY).find("synchronous replication") !=
             std::string::npos;
}

}  // namespace

StatementError::StatementError(const std::string& text, std::string code)
    : StoreError{kind_of(code), code == disk_full ? text + "; make room on its disk" : text},
      code_{std::move(code)} {}

bool StatementError::is_transient() const {
  constexpr std::array<std::string_view, 2> transient{"40001", "40P01"};  // serialization, deadlock
  return std::find(transient.begin(), transient.end(), code_) != transient.end();
}

// Values in libpq's form. The parameters must outlive them.
struct Connection::Packed {
  explicit Packed(const Parameters& parameters) {
    for (const auto& value : parameters.values_) {
      values.push_back(value.bytes ? value.bytes->data() : nullptr);
      lengths.push_back(value.bytes ? static_cast<int>(value.bytes->size()) : 0);
    }
    formats.assign(values.size(), binary);
  }

  std::vector<const char*> values;
  std::vector<int> lengths;
  std::vector<int> formats;
};

Connection::Opened Connection::open(const Hosts& hosts, const Host& host) {
  const auto parameters = hosts.parameters_of(host);
  std::vector<const char*> keywords;
  std::vector<const char*> values;
  for (const auto& [keyword, value] : parameters) {
    keywords.push_back(keyword.c_str());
    values.push_back(value.c_str());
  }
  keywords.push_back(nullptr);
  values.push_back(nullptr);
  constexpr int expand_dbname = 0;
  Handle connection{::PQconnectdbParams(keywords.data(), values.data(), expand_dbname), ::PQfinish};
  if (::PQstatus(connection.get()) == CONNECTION_OK) return {std::move(connection), host};
  throw NotDoneError{trimmed(::PQerrorMessage(connection.get()))};
}

Connection::Opened Connection::open_first(const Hosts& hosts) {
  std::string failures;
  for (const Host& host : hosts.in_order()) {
    try {
      return open(hosts, host);
    } catch (const NotDoneError& error) {
      failures.append(failures.empty() ? "" : "; ").append(error.what());
    }
  }
  throw NotDoneError{"cannot connect to PostgreSQL: " + failures};
}

Connection::Connection(const std::string& uri) : Connection{open_first(Hosts{uri})} {}

Connection::Connection(const Hosts& hosts, const Host& host) : Connection{open(hosts, host)} {}

Connection::Connection(Opened opened)
    : connection_{std::move(opened.connection)},
      host_{std::move(opened.host)},
      server_{std::string{::PQhost(connection_.get())} + ":" + ::PQport(connection_.get())} {
  ::PQsetNoticeReceiver(
      connection_.get(),
      [](void* self, const PGresult* notice) { static_cast<Connection*>(self)->hear(notice); },
      this);
  ::PQsetnonblocking(connection_.get(), 1);
}

std::string Connection::parameter(const char* name) const {
  const char* const value = ::PQparameterStatus(connection_.get(), name);
  return value ? value : "";
}

// Returns the deadline of the call that begins.
Connection::Time Connection::begin() const {
  if (!is_broken()) return steady_clock::now() + deadline_;
  throw NotDoneError{"the connection to PostgreSQL at " + server_ + " has been given up"};
}

Result Connection::run(const char* statement, const Parameters& parameters) {
  const Time end = begin();
  const std::string name = prepare(statement, parameters, end);
  const Packed packed{parameters};
  return answer(::PQsendQueryPrepared(connection_.get(), name.c_str(),
                                      static_cast<int>(packed.values.size()), packed.values.data(),
                                      packed.lengths.data(), packed.formats.data(), binary),
                Sent::statement, end);
}

Result Connection::run_once(const char* statement) {
  const Time end = begin();
  return answer(::PQsendQueryParams(connection_.get(), statement, 0, nullptr, nullptr, nullptr,
                                    nullptr, binary),
                Sent::statement, end);
}

void Connection::run_script(const std::string& statements) {
  const Time end = begin();
  answer(::PQsendQuery(connection_.get(), statements.c_str()), Sent::script, end);
}

std::string Connection::prepare(const char* statement, const Parameters& parameters, Time until) {
  const auto known = std::find(prepared_.begin(), prepared_.end(), statement);
  const std::string name = "s" + std::to_string(known - prepared_.begin());
  if (known != prepared_.end()) return name;
  std::vector<Oid> types;
  for (const auto& value : parameters.values_) types.push_back(value.type);
  answer(::PQsendPrepare(connection_.get(), name.c_str(), statement, static_cast<int>(types.size()),
                         types.data()),
         Sent::statement, until);
  prepared_.push_back(statement);
  return name;
}

Result Connection::answer(int is_sent, Sent sent, Time until) {
  if (is_sent == 0) {
    if (is_broken()) fail_lost();
    throw StoreError{StoreErrorKind::refused,
                     "libpq: " + trimmed(::PQerrorMessage(connection_.get()))};
  }
  Result result = collect(sent, until);
  if (!doubt_.empty()) fail_doubtful();
  report_warnings();
  return result;
}

// A statement's result arrives before its commit, so it is not the last message.
Result Connection::collect(Sent sent, Time until) {
  flush(until);
  std::optional<Result> last;
  std::optional<Result> failed;
  bool had_result = false;
  while (PGresult* const next = next_result(until)) {
    Result result{next};
    switch (result.status()) {
      case PGRES_COMMAND_OK:
      case PGRES_TUPLES_OK:
      case PGRES_EMPTY_QUERY:
        had_result = true;
        last.emplace(std::move(result));
        break;
      case PGRES_FATAL_ERROR:
        if (!failed) failed.emplace(std::move(result));
        break;
      default:
        give_up();
        throw StoreError{StoreErrorKind::refused,
                         "PostgreSQL at " + server_ + " has answered a statement with a COPY"};
    }
    if (is_broken()) break;
  }
  if (failed) fail(*failed, sent == Sent::statement && !had_result);
  if (!last || is_broken()) fail_lost();
  return std::move(*last);
}

// Also reads, as a server that cannot send may not read.
void Connection::flush(Time until) {
  for (;;) {
    const int is_left = ::PQflush(connection_.get());
    if (is_left == 0) return;
    // A message that the server sent before closing can still be read.
    if (is_left < 0) return;
    wait(POLLIN | POLLOUT, until);
    if (::PQconsumeInput(connection_.get()) == 0) return;
  }
}

PGresult* Connection::next_result(Time until) {
  while (::PQisBusy(connection_.get()) != 0) {
    wait(POLLIN, until);
    if (::PQconsumeInput(connection_.get()) == 0) break;
  }
  return ::PQgetResult(connection_.get());
}

void Connection::wait(short events, Time until) {
  pollfd socket{::PQsocket(connection_.get()), events, 0};
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(until - steady_clock::now()).count();
    if (left <= 0) fail_silent();
    const int ready = ::poll(&socket, 1, static_cast<int>(std::min<std::int64_t>(left, INT_MAX)));
    if (ready > 0) return;
    if (ready < 0 && errno != EINTR) fail_lost();
  }
}

void Connection::hear(const PGresult* notice) {
  const std::string severity = field_of(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
  const std::string text = field_of(notice, PG_DIAG_MESSAGE_PRIMARY);
  has_ended_ = has_ended_ || severity == "FATAL" || severity == "PANIC" ||
               ends_connection(field_of(notice, PG_DIAG_SQLSTATE));
  if (ends_wait_for_standby(notice)) {
    doubt_ = text;
  } else if (severity == "WARNING" && warnings_.size() < warnings_max) {
    warnings_.push_back(text);
  }
}

void Connection::report_warnings() {
  for (const std::string& warning : std::exchange(warnings_, {})) {
    if (report_) report_("database_warning", "PostgreSQL at " + server_ + ": " + warning);
  }
}

void Connection::expect_writable() {
  if (run(sql::takes_writes).integer(0, 0) != 0) return;
  give_up();
  throw NotDoneError{"PostgreSQL at " + server_ +
                     " accepts no writes (it is read-only or a standby)"};
}

bool Connection::is_usable() {
  pollfd socket{::PQsocket(connection_.get()), POLLIN, 0};
  while (!is_broken() && !has_ended_ && ::poll(&socket, 1, 0) > 0) {
    if (::PQconsumeInput(connection_.get()) == 0) break;
    ::PQisBusy(connection_.get());  // parses the input
  }
  if (has_ended_) give_up();
  return !is_broken();
}

// `is_certain`: the statement failed before it was executed.
void Connection::fail(const Result& failed, bool is_certain) {
  const std::string code = failed.field(PG_DIAG_SQLSTATE);
  if (code.empty()) fail_lost();
  if (!doubt_.empty()) fail_doubtful();
  const std::string severity = failed.field(PG_DIAG_SEVERITY_NONLOCALIZED);
  std::string text = "PostgreSQL at " + server_ + ": " + trimmed(failed.message());
  if (code == read_only) {
    give_up();
    throw NotDoneError{text + " (it accepts no writes: it is read-only or a standby)"};
  }
  if (is_of_another_session(code)) {
    give_up();
    throw NotDoneError{text + ": " + pooler_advice};
  }
  if (severity != "FATAL" && severity != "PANIC" && !ends_connection(code)) {
    throw StatementError{text, code};
  }
  give_up();
  const bool was_not_done =
      trusts_errors_ && (code == idle_too_long || (code == shutting_down && is_certain));
  if (was_not_done) throw NotDoneError{text};
  throw ConnectionError{text.append(maybe_done)};
}

void Connection::fail_silent() {
  was_silent_ = true;
  give_up();
  std::string text = "no answer from PostgreSQL at " + server_ + " within " + text_of(deadline_);
  throw ConnectionError{text.append(maybe_done)};
}

void Connection::fail_lost() {
  if (!doubt_.empty()) fail_doubtful();
  std::string text = "the connection to PostgreSQL at " + server_ +
                     " is lost: " + trimmed(::PQerrorMessage(connection_.get()));
  give_up();
  throw ConnectionError{text.append(maybe_done)};
}

void Connection::fail_doubtful() {
  give_up();
  throw ConnectionError{"a transaction was committed on PostgreSQL at " + server_ +
                        ", but may not be on its standby (" + doubt_ + "): its outcome is unknown"};
}

}  // namespace credits::persistence::postgres
