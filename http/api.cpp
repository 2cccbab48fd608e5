#include "http/api.hpp"

#include <algorithm>
#include <exception>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "actors/caller.hpp"
#include "http/answer.hpp"
#include "http/assets.hpp"
#include "http/codec/response.hpp"
#include "http/identifiers.hpp"
#include "http/problem.hpp"
#include "http/target.hpp"

namespace credits::http {

namespace {

constexpr std::size_t body_bytes_max = 8 * 1024 * 1024;
constexpr std::size_t import_bytes_max = 1024 * 1024 * 1024;
constexpr std::chrono::minutes import_timeout{10};  // for its body

std::string decode_install_id(std::string_view segment) {
  const auto install_id = percent_decoded(segment);
  if (!install_id) {
    throw ProblemError{invalid_install_id("the install id has a broken percent-escape")};
  }
  refuse_if(fault_of_install_id(*install_id), invalid_install_id);
  return *install_id;
}

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
  const auto asker = std::make_shared<actors::WaitingAsker>();
  const auto answers = std::make_shared<actors::Answers>(operations_in(batch), asker);
  auto all = asker->answers();
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
  return {std::move(requests), std::move(all)};
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

}  // namespace

Admission Api::admit(const HttpRequest& request) {
  const Route* const route =
      match_route(request.method, split_target(request.target).segments).route;
  Admission admission;
  admission.body_bytes_max = body_bytes_max;
  if (route && route->call == Call::import_ledger) admission = admit_import(route);
  // What does not exist is told to those who may call something.
  const Scope scope = route ? route->scope : Scope::relay;
  if (const auto problem = context_.access.refuse(scope, request.sender)) {
    admission.refusal = refusal(route, *problem);
  }
  return admission;
}

Admission Api::admit_import(const Route* route) {
  Admission admission;
  admission.body_bytes_max = import_bytes_max;
  admission.request_timeout = import_timeout;
  // The persister looks again, but by then all of the file would be in memory.
  if (const std::uint64_t installs = context_.environment.figures.installs; installs > 0) {
    admission.refuse_body = [this, route, installs] {
      return refusal(route, ledger_not_empty(installs));
    };
  }
  return admission;
}

// Counted, with no time at all.
HttpResponse Api::refusal(const Route* route, const Problem& problem) {
  HttpResponse response = to_response(problem);
  const auto now = std::chrono::steady_clock::now();
  count(route, response);
  if (route)
    context_.figures.by_call[static_cast<std::size_t>(route->call)].latency_us.record(0, now);
  return response;
}

HttpResponse Api::handle(const HttpRequest& request) {
  const auto began = std::chrono::steady_clock::now();
  const Target target = split_target(request.target);
  const RouteMatch match = match_route(request.method, target.segments);
  HttpResponse response = answer_or_refuse(request, target, match);
  count(match.route, response);
  if (match.route) measure(match.route->call, request, began);
  return response;
}

void Api::count(const Route* route, const HttpResponse& response) {
  HttpFigures& figures = context_.figures;
  if (!response.problem.empty()) figures.problems.count(response.problem);
  if (!route) return;
  auto& by_class = figures.by_call[static_cast<std::size_t>(route->call)].by_status_class;
  by_class[static_cast<std::size_t>(response.status / 100)].fetch_add(1, std::memory_order_relaxed);
}

void Api::measure(Call call, const HttpRequest& request, actors::SteadyTime began) {
  HttpFigures& figures = context_.figures;
  const auto now = std::chrono::steady_clock::now();
  const std::uint64_t took_us = actors::microseconds_between(began, now);
  figures.by_call[static_cast<std::size_t>(call)].latency_us.record(took_us, now);
  if (now - began >= limits_.slow_request) figures.slow_requests.add(request, now - began);
}

HttpResponse Api::answer_or_refuse(const HttpRequest& request, const Target& target,
                                   const RouteMatch& match) {
  const auto& environment = context_.environment;
  try {
    return route(request, target, match);
  } catch (const ProblemError& error) {
    return to_response(error.problem());
  } catch (const persistence::StoreError& error) {
    environment.tell({"request_failed", std::string{"request failed: "} + error.what()});
    return to_response(storage_unavailable("the store failed; the server's log has the reason"));
  } catch (const std::future_error&) {
    return to_response(storage_unavailable("the server gave the request up"));
  } catch (const std::exception& error) {
    environment.tell({"unexpected_error", std::string{"unexpected: "} + error.what()});
    return to_response(internal_error());
  }
}

HttpResponse Api::route(const HttpRequest& request, const Target& target, const RouteMatch& match) {
  if (match.route) return run(match.route->call, match, request, target);
  if (match.allowed.empty()) return to_response(not_found(std::string{target.path}));
  HttpResponse response =
      to_response(method_not_allowed(std::string{request.method}, std::string{target.path}));
  response.headers.emplace_back("Allow", join(match.allowed));
  return response;
}

HttpResponse Api::run(Call call, const RouteMatch& match, const HttpRequest& request,
                      const Target& target) {
  switch (call) {
    case Call::healthz:
      return {200, "application/json", R"({"status":"ok"})"};
    case Call::readyz:
      return operators_.readyz();
    case Call::asset:
      return asset_at(target.path);
    default:
      break;
  }
  const InFlight in_flight{context_.figures.in_flight};
  if (in_flight.count() > limits_.requests_in_flight_max) {
    return shed("there are too many requests under way");
  }
  if (call != Call::list_installs && call != Call::list_entries) decode_query(target.query, {});
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
      return operators_.list_installs(target.query);
    case Call::list_entries:
      return operators_.list_entries(decode_install_id(match.variables.front()), target.query);
    case Call::get_snapshot:
      return operators_.snapshot();
    case Call::import_ledger:
      return operators_.import_ledger(request.body);
    case Call::get_stats:
      return operators_.stats();
    case Call::get_actor:
      return operators_.actor(decode_install_id(match.variables.front()));
    case Call::get_quota:
      return operators_.quota();
    case Call::put_quota:
      return operators_.put_quota(request.body);
    case Call::metrics:
      return operators_.metrics();
    default:
      throw std::logic_error{"a route without a call"};
  }
}

HttpResponse Api::shed(std::string reason) {
  ++context_.figures.shed;
  return to_response(overloaded(std::move(reason)));
}

HttpResponse Api::run_operation(codec::Op op, const RouteMatch& match, const HttpRequest& request) {
  const auto asker = std::make_shared<actors::WaitingAsker>();
  auto all = asker->answers();
  auto answers = std::make_shared<actors::Answers>(1, asker);
  actors::Request to_run{codec::decode_operation(op, address_of(op, match, request), request.body),
                         std::move(answers)};
  if (op == codec::Op::plan || op == codec::Op::get) {
    actors::send_and_run(context_.gateway, actors::run_atom::value, std::move(to_run));
  } else {
    // The answer waits for the disk anyhow. Run here, commits with 64 connections are a tenth
    // slower: their batches are smaller.
    caf::anon_send(context_.gateway, actors::run_atom::value, std::move(to_run));
  }
  return to_response(wait_for(std::move(all), limits_.answer_timeout).front());
}

HttpResponse Api::run_batch(std::string_view body) {
  auto decoded = codec::decode_batch(body);
  const InFlight in_flight{operations_in_flight_, decoded.size()};
  if (in_flight.count() > limits_.operations_in_flight_max) {
    return shed("there are too many operations under way");
  }
  auto [requests, all] = requests_of(decoded);
  std::vector<actors::Answer> answers;
  if (!requests.empty()) {
    caf::anon_send(context_.gateway, actors::run_atom::value, std::move(requests));
    answers = wait_for(std::move(all), limits_.answer_timeout);
  }
  const auto results = results_of(decoded, answers);
  for (const codec::Result& result : results) {
    if (!result.problem.empty()) context_.figures.problems.count(result.problem);
  }
  return {200, "application/json", codec::encode_results(results)};
}

}  // namespace credits::http
