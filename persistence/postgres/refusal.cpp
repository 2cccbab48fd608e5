#include "persistence/postgres/refusal.hpp"

#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <iterator>
#include <memory>
#include <regex>
#include <string_view>

namespace credits::persistence::postgres {

namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds wait_max{5};

// Waits for the server. Returns whether it has reacted before `deadline`.
bool wait_for(PGconn* connection, PostgresPollingStatusType status,
              steady_clock::time_point deadline) {
  pollfd socket{::PQsocket(connection),
                static_cast<short>(status == PGRES_POLLING_READING ? POLLIN : POLLOUT), 0};
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now()).count();
  return left > 0 && ::poll(&socket, 1, static_cast<int>(left)) > 0;
}

// libpq's reason why no connection can be made; empty if one can be, or nothing answers in time.
std::string failure_of(const std::string& uri) {
  const std::array<const char*, 2> keywords{"dbname", nullptr};
  const std::array<const char*, 2> values{uri.c_str(), nullptr};
  constexpr int expand_dbname = 1;
  const std::unique_ptr<PGconn, decltype(&::PQfinish)> connection{
      ::PQconnectStartParams(keywords.data(), values.data(), expand_dbname), ::PQfinish};
  if (!connection || ::PQstatus(connection.get()) == CONNECTION_BAD) return {};
  ::PQsetErrorVerbosity(connection.get(), PQERRORS_VERBOSE);  // with the SQLSTATE
  const auto deadline = steady_clock::now() + wait_max;
  PostgresPollingStatusType status = PGRES_POLLING_WRITING;
  while (status == PGRES_POLLING_READING || status == PGRES_POLLING_WRITING) {
    if (!wait_for(connection.get(), status, deadline)) return {};
    status = ::PQconnectPoll(connection.get());
  }
  return status == PGRES_POLLING_FAILED ? ::PQerrorMessage(connection.get()) : "";
}

// The server refuses the user or its password, the database, or the right to connect.
bool is_refusal(std::string_view code) {
  return code.starts_with("28") || code == "3D000" || code == "42501";
}

}  // namespace

bool refuses_for_good(const std::string& uri) {
  static const std::regex server{"connection to server "};
  static const std::regex coded{":  ([0-9A-Z]{5}): "};
  const std::string failure = failure_of(uri);
  using Matches = std::sregex_iterator;
  const Matches codes{failure.begin(), failure.end(), coded};
  const auto servers = std::distance(Matches{failure.begin(), failure.end(), server}, Matches{});
  return codes != Matches{} && std::distance(codes, Matches{}) == servers &&
         std::all_of(codes, Matches{},
                     [](const std::smatch& code) { return is_refusal(code[1].str()); });
}

bool is_passing(const std::string& code) {
  constexpr std::array<std::string_view, 3> passing{"25006", "55P03", "40001"};
  return code.starts_with("57P") || code.starts_with("53") || code.starts_with("08") ||
         std::find(passing.begin(), passing.end(), code) != passing.end();
}

}  // namespace credits::persistence::postgres
