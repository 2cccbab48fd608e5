#include "http/api.hpp"

#include <charconv>
#include <exception>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>

#include "http/codec/quota.hpp"
#include "http/codec/request.hpp"
#include "http/codec/response.hpp"
#include "http/install_id.hpp"
#include "http/openapi.hpp"
#include "http/problem.hpp"
#include "http/target.hpp"

namespace credits::http {

namespace {

constexpr std::uint64_t page_limit_default = 100;
constexpr std::uint64_t page_limit_max = 1'000;
constexpr std::size_t snapshot_chunk_bytes = 64 * 1024;

HttpResponse answer(std::string body, int status = 200) {
  return {status, "application/json", std::move(body)};
}

std::string decode_install_id(std::string_view segment) {
  const auto install_id = percent_decoded(segment);
  if (!install_id) {
    throw ProblemError{invalid_install_id("the install id has a broken percent-escape")};
  }
  if (const auto fault = fault_of_install_id(*install_id)) {
    throw ProblemError{invalid_install_id(*fault)};
  }
  return *install_id;
}

std::uint64_t integer_of(const QueryParameters& parameters, const std::string& name,
                         std::uint64_t fallback, std::uint64_t min, std::uint64_t max) {
  const auto found = parameters.find(name);
  if (found == parameters.end()) return fallback;
  const std::string& text = found->second;
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [parsed_to, error] = std::from_chars(text.data(), end, value);
  if (text.empty() || error != std::errc{} || parsed_to != end || value < min || value > max) {
    throw ProblemError{invalid_request(
        name,
        name + " must be an integer from " + std::to_string(min) + " to " + std::to_string(max))};
  }
  return value;
}

std::string text_of(const QueryParameters& parameters, std::string_view name) {
  const auto found = parameters.find(name);
  return found == parameters.end() ? std::string{} : found->second;
}

// Turns rows into the text of the JSON ledger, piece by piece.
class LedgerText {
 public:
  explicit LedgerText(std::shared_ptr<persistence::RowCursor> cursor)
      : cursor_{std::move(cursor)} {}

  bool operator()(std::string& chunk) {
    if (std::exchange(is_first_, false)) chunk = R"({"rows":{)";
    while (chunk.size() < snapshot_chunk_bytes) {
      const auto row = cursor_->next();
      if (!row) {
        chunk += "}}";
        return false;
      }
      if (std::exchange(has_rows_, true)) chunk += ',';
      chunk += codec::encode_ledger_member(*row);
    }
    return true;
  }

 private:
  std::shared_ptr<persistence::RowCursor> cursor_;
  bool is_first_ = true;
  bool has_rows_ = false;
};

std::string join(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ", ") + part;
  return text;
}

class InFlight {
 public:
  explicit InFlight(std::atomic<std::size_t>& counter) : counter_{counter}, count_{++counter} {}
  ~InFlight() { --counter_; }
  InFlight(const InFlight&) = delete;
  InFlight& operator=(const InFlight&) = delete;
  std::size_t count() const { return count_; }

 private:
  std::atomic<std::size_t>& counter_;
  const std::size_t count_;
};

template <class Result>
struct Question {
  actors::Promise<Result> promise = std::make_shared<std::promise<Result>>();
  std::future<Result> answer = promise->get_future();
};

}  // namespace

HttpResponse Api::handle(const HttpRequest& request) {
  try {
    return route(request);
  } catch (const ProblemError& error) {
    return to_response(error.problem());
  } catch (const persistence::StoreError& error) {
    environment_.warn(std::string{"request failed: "} + error.what());
    return to_response(storage_unavailable("the store failed; the server's log has the reason"));
  } catch (const std::future_error&) {
    return to_response(storage_unavailable("the server gave the request up"));
  } catch (const std::exception& error) {
    environment_.warn(std::string{"unexpected: "} + error.what());
    return to_response(internal_error());
  }
}

HttpResponse Api::route(const HttpRequest& request) {
  const Target target = split_target(request.target);
  const RouteMatch match = match_route(request.method, target.segments);
  if (!match.call && match.allowed.empty()) return to_response(not_found(std::string{target.path}));
  if (!match.call) {
    HttpResponse response =
        to_response(method_not_allowed(std::string{request.method}, std::string{target.path}));
    response.headers.emplace_back("Allow", join(match.allowed));
    return response;
  }
  const bool names_install = match.variable.data() != nullptr;
  return run(*match.call, names_install ? decode_install_id(match.variable) : std::string{},
             request, target.query);
}

HttpResponse Api::run(Call call, const std::string& install_id, const HttpRequest& request,
                      std::string_view query) {
  switch (call) {
    case Call::healthz:
      return answer(R"({"status":"ok"})");
    case Call::readyz:
      return readyz();
    case Call::openapi:
      return {200, "application/yaml", std::string{openapi_yaml()}};
    default:
      break;
  }
  const InFlight in_flight{in_flight_};
  if (in_flight.count() > limits_.requests_in_flight_max) {
    return to_response(overloaded("there are too many requests under way"));
  }
  if (call != Call::list_installs && call != Call::list_entries) decode_query(query, {});
  switch (call) {
    case Call::get_install:
      return run_operation({install_id, actors::Get{}}, 200);
    case Call::put_install:
      codec::decode_nothing(request.body);
      return run_operation({install_id, actors::Create{}}, 201);
    case Call::plan:
      return run_operation({install_id, codec::decode_plan(request.body)}, 200);
    case Call::commit:
      return run_operation({install_id, codec::decode_commit(request.body)}, 200);
    case Call::list_installs:
      return list_installs(query);
    case Call::list_entries:
      return list_entries(install_id, query);
    case Call::get_snapshot:
      return snapshot();
    case Call::get_quota:
      return answer(codec::encode(quota_file_.in_force()));
    case Call::put_quota:
      return put_quota(request.body);
    default:
      throw std::logic_error{"a route without a call"};
  }
}

template <class Result>
Result Api::wait_for(std::future<Result> future) const {
  if (future.wait_for(limits_.answer_timeout) != std::future_status::ready) {
    throw ProblemError{storage_unavailable("there was no answer in time")};
  }
  return future.get();
}

HttpResponse Api::run_operation(actors::Operation operation, int created_status) {
  Question<actors::Answer> question;
  caf::anon_send(gateway_, actors::run_atom::value,
                 actors::Request{std::move(operation), std::move(question.promise)});
  const actors::Answer result = wait_for(std::move(question.answer));
  if (const auto* install = std::get_if<actors::InstallView>(&result)) {
    return answer(codec::encode(*install), install->created ? created_status : 200);
  }
  if (const auto* plan = std::get_if<actors::PlanView>(&result)) {
    return answer(codec::encode(*plan));
  }
  const auto& refused = std::get<actors::Refused>(result);
  return to_response(refused.reason == actors::Refusal::unknown_install
                         ? unknown_install(refused.value)
                         : unknown_tier(refused.value));
}

HttpResponse Api::list_installs(std::string_view query) {
  const auto parameters = decode_query(query, {"limit", "after", "tier", "prefix"});
  persistence::ListQuery list;
  const std::size_t limit = integer_of(parameters, "limit", page_limit_default, 1, page_limit_max);
  list.limit = limit + 1;  // one more, to know whether there is a next page
  list.after = text_of(parameters, "after");
  list.prefix = text_of(parameters, "prefix");
  if (parameters.contains("tier")) list.tier = text_of(parameters, "tier");

  Question<std::vector<ledger::Row>> question;
  caf::anon_send(gateway_, actors::list_atom::value,
                 actors::ListRequest{std::move(list), std::move(question.promise)});
  auto rows = wait_for(std::move(question.answer));

  codec::InstallPage page;
  if (rows.size() > limit) {
    rows.resize(limit);
    page.next_after = rows.back().install_id;
  }
  const auto quota = environment_.quota.get();
  const actors::Circumstances now{*quota, environment_.now(), environment_.has_hardware};
  for (const ledger::Row& row : rows) page.installs.push_back(actors::view_of(row, now));
  return answer(codec::encode(page));
}

HttpResponse Api::list_entries(const std::string& install_id, std::string_view query) {
  constexpr auto any_version = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  const auto parameters = decode_query(query, {"limit", "before"});
  const std::size_t limit = integer_of(parameters, "limit", page_limit_default, 1, page_limit_max);
  const std::uint64_t before = integer_of(parameters, "before", any_version, 1, any_version);

  Question<std::optional<std::vector<ledger::Entry>>> question;
  caf::anon_send(
      gateway_, actors::entries_atom::value,
      actors::EntriesRequest{install_id, before, limit + 1, std::move(question.promise)});
  auto entries = wait_for(std::move(question.answer));
  if (!entries) return to_response(unknown_install(install_id));

  codec::EntryPage page{*std::move(entries), std::nullopt};
  if (page.entries.size() > limit) {
    page.entries.resize(limit);
    page.next_before = page.entries.back().version;
  }
  return answer(codec::encode(page));
}

HttpResponse Api::snapshot() {
  Question<std::shared_ptr<persistence::RowCursor>> question;
  caf::anon_send(gateway_, actors::snapshot_atom::value,
                 actors::SnapshotRequest{std::move(question.promise)});
  HttpResponse response;
  response.next_chunk =
      [this, text = LedgerText{wait_for(std::move(question.answer))}](std::string& chunk) mutable {
        try {
          return text(chunk);
        } catch (const persistence::StoreError& error) {
          environment_.warn(std::string{"snapshot broken off: "} + error.what());
          throw;
        }
      };
  return response;
}

HttpResponse Api::put_quota(std::string_view body) {
  try {
    const ledger::Quota quota = codec::decode_quota(body.empty() ? "{}" : body);
    quota_file_.replace(quota);
    return answer(codec::encode(quota));
  } catch (const codec::QuotaError& error) {
    if (error.is_syntax()) return to_response(invalid_json(error.what()));
    return to_response(invalid_request(error.field(), error.what()));
  } catch (const QuotaFileError& error) {
    environment_.warn(error.what());
    return to_response(storage_unavailable(
        "the quota file could not be written; the quota in force is as it was"));
  }
}

HttpResponse Api::readyz() const {
  if (const auto trouble = environment_.store_health.trouble()) {
    Problem problem = storage_unavailable(*trouble);
    problem.title = "The store takes no writes";
    return to_response(problem);
  }
  return answer(R"({"status":"ready"})");
}

}  // namespace credits::http
