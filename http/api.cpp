#include "http/api.hpp"

#include <algorithm>
#include <charconv>
#include <exception>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "http/answer.hpp"
#include "http/codec/quota.hpp"
#include "http/codec/response.hpp"
#include "http/identifiers.hpp"
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
  refuse_if(fault_of_install_id(*install_id), invalid_install_id);
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
  explicit InFlight(std::atomic<std::size_t>& counter, std::size_t weight = 1)
      : counter_{counter}, weight_{weight}, count_{counter += weight} {}
  ~InFlight() { counter_ -= weight_; }
  InFlight(const InFlight&) = delete;
  InFlight& operator=(const InFlight&) = delete;
  std::size_t count() const { return count_; }

 private:
  std::atomic<std::size_t>& counter_;
  const std::size_t weight_;
  const std::size_t count_;
};

std::optional<std::string> idempotency_key_of(const HttpRequest& request) {
  const auto& keys = request.idempotency_keys;
  if (keys.empty()) return std::nullopt;
  if (keys.size() > 1) {
    throw ProblemError{invalid_idempotency_key("Idempotency-Key is given twice")};
  }
  refuse_if(fault_of_idempotency_key(keys.front()), invalid_idempotency_key);
  return keys.front();
}

codec::Address address_of(codec::Op op, const RouteMatch& match, const HttpRequest& request) {
  codec::Address address{decode_install_id(match.variables.front())};
  if (codec::takes_key(op)) address.idempotency_key = idempotency_key_of(request);
  if (match.variables.size() > 1) {
    const std::string_view segment = match.variables[1];
    const auto reservation_id = percent_decoded(segment);
    if (!reservation_id) throw ProblemError{unknown_reservation(std::string{segment})};
    address.reservation_id = *reservation_id;
  }
  return address;
}

using DecodedBatch = std::vector<std::variant<actors::Operation, Problem>>;

std::size_t operations_in(const DecodedBatch& batch) {
  return static_cast<std::size_t>(std::count_if(batch.begin(), batch.end(), [](const auto& member) {
    return std::holds_alternative<actors::Operation>(member);
  }));
}

// Takes the operations of `batch` as requests to the actors, and what will be answered to them.
std::pair<std::vector<actors::Request>, std::future<std::vector<actors::Answer>>> requests_of(
    DecodedBatch& batch) {
  const auto answers = std::make_shared<actors::Answers>(operations_in(batch));
  std::vector<actors::Request> requests;
  requests.reserve(operations_in(batch));  // so that the ids stay where they are
  std::unordered_map<std::string_view, std::size_t> last_places;
  for (auto& member : batch) {
    auto* operation = std::get_if<actors::Operation>(&member);
    if (!operation) continue;
    const std::size_t place = requests.size();
    requests.push_back({std::move(*operation), answers, place});
    const auto [last, is_first] =
        last_places.try_emplace(requests.back().operation.install_id, place);
    if (!is_first) requests.back().previous_place = std::exchange(last->second, place);
  }
  return {std::move(requests), answers->all()};
}

// The results of a batch in its order; `answers` are those to its operations.
std::vector<codec::Result> results_of(const DecodedBatch& batch,
                                      const std::vector<actors::Answer>& answers) {
  std::vector<codec::Result> results;
  results.reserve(batch.size());
  auto next = answers.begin();
  for (const auto& member : batch) {
    const auto* problem = std::get_if<Problem>(&member);
    results.push_back(problem ? to_result(*problem) : to_result(*next++));
  }
  return results;
}

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
  return run(*match.call, match, request, target.query);
}

HttpResponse Api::run(Call call, const RouteMatch& match, const HttpRequest& request,
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
      return run_operation(codec::Op::get, match, request);
    case Call::put_install:
      return run_operation(codec::Op::create, match, request);
    case Call::plan:
      return run_operation(codec::Op::plan, match, request);
    case Call::commit:
      return run_operation(codec::Op::commit, match, request);
    case Call::reserve:
      return run_operation(codec::Op::reserve, match, request);
    case Call::settle:
      return run_operation(codec::Op::settle, match, request);
    case Call::release:
      return run_operation(codec::Op::release, match, request);
    case Call::batch:
      return run_batch(request.body);
    case Call::list_installs:
      return list_installs(query);
    case Call::list_entries:
      return list_entries(decode_install_id(match.variables.front()), query);
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

HttpResponse Api::run_operation(codec::Op op, const RouteMatch& match, const HttpRequest& request) {
  auto answers = std::make_shared<actors::Answers>(1);
  auto all = answers->all();
  caf::anon_send(
      gateway_, actors::run_atom::value,
      actors::Request{codec::decode_operation(op, address_of(op, match, request), request.body),
                      std::move(answers)});
  return to_response(wait_for(std::move(all)).front());
}

HttpResponse Api::run_batch(std::string_view body) {
  auto decoded = codec::decode_batch(body);
  const InFlight in_flight{operations_in_flight_, decoded.size()};
  if (in_flight.count() > limits_.operations_in_flight_max) {
    return to_response(overloaded("there are too many operations under way"));
  }
  auto [requests, all] = requests_of(decoded);
  std::vector<actors::Answer> answers;
  if (!requests.empty()) {
    caf::anon_send(gateway_, actors::run_atom::value, std::move(requests));
    answers = wait_for(std::move(all));
  }
  return answer(codec::encode_results(results_of(decoded, answers)));
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
  const ledger::Time now = environment_.now();
  for (const ledger::Row& row : rows) page.installs.push_back(actors::view_of(row, *quota, now));
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
