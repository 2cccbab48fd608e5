#include "http/api/api.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <exception>
#include <future>
#include <memory>
#include <memory_resource>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "http/api/answer.hpp"
#include "http/api/assets.hpp"
#include "http/api/target.hpp"
#include "http/codec/identifiers.hpp"
#include "http/codec/problem.hpp"
#include "http/codec/response.hpp"
#include "http/server/compression.hpp"
#include "http/server/etag.hpp"

namespace credits::http {

namespace {

constexpr std::size_t body_bytes_max = 8 * 1024 * 1024;
constexpr std::size_t import_bytes_max = 1024 * 1024 * 1024;
constexpr std::chrono::minutes import_body_timeout{10};

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

std::optional<std::string> idempotency_key_of(const HttpRequest& request) {
  const auto& keys = request.idempotency_keys;
  if (keys.empty()) return std::nullopt;
  if (keys.size() > 1) {
    throw ProblemError{invalid_idempotency_key("Idempotency-Key is given twice")};
  }
  refuse_if(fault_of_idempotency_key(keys.front()), invalid_idempotency_key);
  return std::string{keys.front()};
}

codec::Address address_of(codec::Op op, const RouteMatch& match, const HttpRequest& request) {
  codec::Address address{decode_install_id(match.variables.front())};
  if (codec::takes_key(op)) address.idempotency_key = idempotency_key_of(request);
  if (match.variables.size() > 1) {
    const std::string_view segment = match.variables[1];
    address.reservation_id = percent_decoded(segment).value_or(std::string{segment});
  }
  return address;
}

using DecodedBatch = std::vector<std::variant<actors::Operation, Problem>>;

std::size_t operations_in(const DecodedBatch& batch) {
  return static_cast<std::size_t>(std::count_if(batch.begin(), batch.end(), [](const auto& member) {
    return std::holds_alternative<actors::Operation>(member);
  }));
}

// Moves the operations of `batch` into requests to the actors, whose answers go to `completion`.
std::vector<actors::Request> requests_of(DecodedBatch& batch,
                                         const std::shared_ptr<actors::Completion>& completion,
                                         actors::SteadyTime deadline) {
  const auto answers = std::make_shared<actors::Answers>(operations_in(batch), completion);
  std::vector<actors::Request> requests;
  requests.reserve(operations_in(batch));      // so that views of the ids stay valid
  std::pmr::monotonic_buffer_resource memory;  // freed all at once
  std::pmr::unordered_map<std::string_view, std::size_t> last_places{&memory};
  for (auto& member : batch) {
    auto* operation = std::get_if<actors::Operation>(&member);
    if (!operation) continue;
    const std::size_t place = requests.size();
    requests.push_back({std::move(*operation), answers, place, {}, deadline});
    const std::string& install_id = requests.back().operation.install_id;
    operation->install_id = install_id;  // kept for a problem, which names it
    const auto [last, is_first] = last_places.try_emplace(install_id, place);
    if (!is_first) requests.back().previous_place = std::exchange(last->second, place);
  }
  return requests;
}

// `operation` has been moved from; its id and its kind remain.
Subject subject_of(const actors::Operation& operation) {
  return {operation.install_id, std::holds_alternative<actors::Get>(operation.action)};
}

// The results of a batch in its order; `answers` belong to its valid operations.
std::vector<codec::Result> results_of(const DecodedBatch& batch,
                                      const std::vector<actors::Answer>& answers) {
  std::vector<codec::Result> results;
  results.reserve(batch.size());
  auto next = answers.begin();
  for (const auto& member : batch) {
    const auto* problem = std::get_if<Problem>(&member);
    results.push_back(problem
                          ? to_result(*problem)
                          : to_result(*next++, subject_of(std::get<actors::Operation>(member))));
  }
  return results;
}

bool is_known_method(std::string_view method) {
  constexpr std::array known{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"};
  return std::find(known.begin(), known.end(), method) != known.end();
}

std::vector<std::string> methods_of_all_routes() {
  std::set<std::string> methods{"HEAD"};
  for (const Route& route : routes) methods.emplace(route.method);
  return {methods.begin(), methods.end()};
}

// Makes the response a 304 if the client already has its content (RFC 9110, section 13.1.2).
HttpResponse not_modified_if_known(HttpResponse response, const HttpRequest& request) {
  const auto& lists = request.if_none_match;
  const bool is_known = std::any_of(lists.begin(), lists.end(), [&](std::string_view list) {
    return is_known_by(list, response.etag);
  });
  if (is_known && response.status == 200) {
    response.status = 304;
    response.body.clear();
  }
  return response;
}

bool is_read(const Route* route) { return route && route->method == "GET"; }

Problem unavailable(const Route* route, std::string detail) {
  return is_read(route) ? storage_unreadable(std::move(detail))
                        : storage_unavailable(std::move(detail));
}

Problem damaged(const RouteMatch& match, const persistence::StoreError& error) {
  return match.variables.empty() ? storage_damaged(error.what())
                                 : install_damaged(decode_install_id(match.variables.front()));
}

}  // namespace

struct Api::Found : FoundCall {
  explicit Found(const HttpRequest& request)
      : target{split_target(request.target)}, match{match_route(request.method, target.segments)} {}

  const Target target;
  const RouteMatch match;
  mutable std::unique_ptr<InFlight> import_slot{};  // moves to the import when it begins
};

Admission Api::admit(const HttpRequest& request) {
  auto call = std::make_unique<const Found>(request);
  const Found& found = *call;
  const Route* const route = found.match.route;
  Admission admission;
  admission.call = std::move(call);
  admission.is_prompt = !route || route->runs == Runs::on_loop;
  admission.body_bytes_max = body_bytes_max;
  // Unknown paths need a token too, so that strangers do not learn which paths exist.
  const Scope scope = route ? route->scope : Scope::relay;
  if (const auto problem = context_.access.refuse(scope, request.sender)) {
    admission.refusal = refusal(route, *problem);
  } else if (route && route->call == Call::import_ledger) {
    admit_import(admission, found);
  }
  return admission;
}

// Admits only one import at a time, because its body may take up to import_bytes_max of memory.
void Api::admit_import(Admission& admission, const Found& found) {
  const Route& route = *found.match.route;
  found.import_slot = operators_.slot_for_import();
  admission.body_bytes_max = import_bytes_max;
  admission.is_body_budgeted = false;
  admission.request_timeout = import_body_timeout;
  // The persister checks again, but by then the whole file would be in memory.
  if (const std::uint64_t installs = context_.environment.figures.installs; installs > 0) {
    admission.refuse_body = [this, &route, installs] {
      return refusal(&route, ledger_not_empty(installs));
    };
  } else if (!found.import_slot) {
    admission.refuse_body = [this, &route] {
      ++context_.figures.server.shed;
      return refusal(&route, overloaded(import_under_way));
    };
  }
}

HttpResponse Api::refuse(int status, std::string detail) {
  HttpResponse response = to_response(of_transport(status, std::move(detail)));
  count(nullptr, response);
  return response;
}

HttpResponse Api::failed(const std::exception& error) {
  HttpResponse response = unexpected(error);
  count(nullptr, response);
  return response;
}

// Counts the refusal with a latency of 0.
HttpResponse Api::refusal(const Route* route, const Problem& problem) {
  HttpResponse response = to_response(problem);
  const auto now = std::chrono::steady_clock::now();
  count(route, response);
  if (route)
    context_.figures.by_call[static_cast<std::size_t>(route->call)].latency_us.record(0, now);
  return response;
}

// A request whose operations are with the actors.
class Api::PendingCall : public PendingAnswer,
                         public actors::Completion,
                         public std::enable_shared_from_this<Api::PendingCall> {
 public:
  // `request` and `operations` (of a batch) occupy their slots until the request has been answered
  // and the actors are done with it, even if that is much later.
  PendingCall(Api& api, const Routed& routed, InFlight request,
              std::optional<InFlight> operations = {})
      : api_{api},
        route_{*routed.match.route},
        request_{std::string{routed.request.method} + " " + std::string{routed.request.target}},
        began_{routed.request.received_at},
        listener_{routed.listener},
        in_flight_{std::move(request)},
        operations_{std::move(operations)} {}

  void set_batch(DecodedBatch batch) { batch_ = std::move(batch); }
  void set_install(std::string install_id) { install_id_ = std::move(install_id); }

  void answered(std::vector<actors::Answer> answers) override {
    answers_ = std::move(answers);
    complete(Outcome::answered);
  }
  void dropped() override { complete(Outcome::dropped); }

  bool is_ready() const override { return outcome_ != Outcome::none; }
  std::chrono::steady_clock::time_point deadline() const override {
    return began_ + api_.limits_.answer_timeout;
  }
  HttpResponse take() override {
    HttpResponse response = answer();
    api_.count(&route_, response);
    api_.measure(route_.call, request_, began_);
    free_slots_if_last();
    return response;
  }

 private:
  enum class Outcome : std::uint8_t { none, answered, dropped };

  // The thread that delivers the answer and the one that takes it both call this; the later call
  // frees the slots. (The last actor that holds this object may keep it a moment longer.)
  void free_slots_if_last() {
    if (--users_left_ > 0) return;
    in_flight_.reset();
    operations_.reset();
  }

  void complete(Outcome outcome) {
    free_slots_if_last();
    outcome_ = outcome;
    listener_->ready();
  }

  HttpResponse answer() {
    switch (outcome_) {
      case Outcome::none:
        return to_response(unavailable(&route_, "there was no answer in time"));
      case Outcome::dropped:
        return to_response(unavailable(&route_, "the server gave up on the request"));
      case Outcome::answered:
        break;
    }
    try {
      return batch_ ? answer_batch()
                    : to_response(answers_.front(), {install_id_, is_read(&route_)});
    } catch (const std::exception& error) {
      return api_.unexpected(error);
    }
  }

  HttpResponse answer_batch() {
    const auto results = results_of(*batch_, answers_);
    for (const codec::Result& result : results) {
      if (result.problem) api_.context_.figures.problems.count(*result.problem);
    }
    return {200, "application/json", codec::encode_results(results)};
  }

  Api& api_;
  const Route& route_;
  const std::string request_;
  const actors::SteadyTime began_;
  const std::shared_ptr<Listener> listener_;
  std::atomic<int> users_left_{2};
  std::optional<InFlight> in_flight_;
  std::optional<InFlight> operations_;
  std::optional<DecodedBatch> batch_;  // none: a single operation
  std::string install_id_;             // of a single operation
  std::vector<actors::Answer> answers_;
  std::atomic<Outcome> outcome_{Outcome::none};
};

Service::Begun Api::begin(const HttpRequest& request, const Admission& admission,
                          const std::shared_ptr<Listener>& listener) {
  const auto& found = static_cast<const Found&>(*admission.call);
  const RouteMatch& match = found.match;
  Begun begun = begin_or_refuse({request, found.target, match, found.import_slot, listener});
  if (const auto* response = std::get_if<HttpResponse>(&begun)) {
    count(match.route, *response);
    if (match.route) {
      measure(match.route->call, std::string{request.method} + " " + std::string{request.target},
              request.received_at);
    }
  }
  return begun;
}

void Api::count(const Route* route, const HttpResponse& response) {
  HttpFigures& figures = context_.figures;
  if (response.problem) figures.problems.count(*response.problem);
  if (!route) return;
  auto& by_class = figures.by_call[static_cast<std::size_t>(route->call)].by_status_class;
  by_class[static_cast<std::size_t>(response.status / 100)].fetch_add(1, std::memory_order_relaxed);
}

void Api::measure(Call call, std::string_view request, actors::SteadyTime began) {
  HttpFigures& figures = context_.figures;
  const auto now = std::chrono::steady_clock::now();
  const std::uint64_t took_us = actors::microseconds_between(began, now);
  figures.by_call[static_cast<std::size_t>(call)].latency_us.record(took_us, now);
  if (now - began >= limits_.slow_request) figures.slow_requests.add(request, now - began);
}

Service::Begun Api::begin_or_refuse(const Routed& routed) {
  const auto& environment = context_.environment;
  try {
    return run(routed);
  } catch (const ProblemError& error) {
    return to_response(error.problem());
  } catch (const persistence::StoreError& error) {
    environment.report({"request_failed", std::string{"request failed: "} + error.what()});
    if (error.kind() == persistence::StoreErrorKind::damaged) {
      return to_response(damaged(routed.match, error));
    }
    return to_response(
        unavailable(routed.match.route, "the store failed; the server's log has the reason"));
  } catch (const std::future_error&) {
    return to_response(unavailable(routed.match.route, "the server gave up on the request"));
  } catch (const std::exception& error) {
    return unexpected(error);
  }
}

HttpResponse Api::unexpected(const std::exception& error) {
  context_.environment.report({"unexpected_error", std::string{"unexpected: "} + error.what()});
  return to_response(internal_error());
}

Service::Begun Api::run(const Routed& routed) {
  if (routed.match.route) return run(routed.match.route->call, routed);
  return answer_without_call(routed);
}

HttpResponse Api::answer_without_call(const Routed& routed) {
  const std::string method{routed.request.method};
  const std::string path{routed.target.path};
  std::vector<std::string> allowed = routed.match.allowed;
  const bool asks_for_methods = method == "OPTIONS";
  if (asks_for_methods && path == "*") allowed = methods_of_all_routes();
  if (allowed.empty()) {
    return to_response(is_known_method(method) ? not_found(path) : unknown_method(method));
  }
  if (asks_for_methods) allowed.emplace_back("OPTIONS");
  HttpResponse response = asks_for_methods          ? HttpResponse{}
                          : is_known_method(method) ? to_response(method_not_allowed(method, path))
                                                    : to_response(unknown_method(method));
  response.headers.emplace_back("Allow", join(allowed));
  return response;
}

Service::Begun Api::run(Call call, const Routed& routed) {
  switch (call) {
    case Call::healthz:
      return HttpResponse{200, "application/json", R"({"status":"ok"})"};
    case Call::readyz:
      return operators_.readyz();
    case Call::asset:
      return not_modified_if_known(asset_at(routed.target.path, takes_gzip(routed.request)),
                                   routed.request);
    default:
      break;
  }
  InFlight in_flight{context_.figures.in_flight};
  // Figures need no actor, and are most needed under overload.
  const bool is_watching = call == Call::get_stats || call == Call::metrics;
  if (in_flight.count() > limits_.requests_in_flight_max && !is_watching) {
    return shed("too many requests are in flight");
  }
  if (call != Call::list_installs && call != Call::list_entries) {
    decode_query(routed.target.query, {});
  }
  switch (call) {
    case Call::get_install:
      return run_operation(codec::Op::get, routed, std::move(in_flight));
    case Call::put_install:
      return run_operation(codec::Op::create, routed, std::move(in_flight));
    case Call::plan:
      return run_operation(codec::Op::plan, routed, std::move(in_flight));
    case Call::commit:
      return run_operation(codec::Op::commit, routed, std::move(in_flight));
    case Call::reserve:
      return run_operation(codec::Op::reserve, routed, std::move(in_flight));
    case Call::settle:
      return run_operation(codec::Op::settle, routed, std::move(in_flight));
    case Call::release:
      return run_operation(codec::Op::release, routed, std::move(in_flight));
    case Call::batch:
      return run_batch(routed, std::move(in_flight));
    default:
      return answer_now(call, routed);
  }
}

HttpResponse Api::answer_now(Call call, const Routed& routed) {
  const auto& [request, target, match, import_slot, listener] = routed;
  switch (call) {
    case Call::list_installs:
      return operators_.list_installs(target.query);
    case Call::list_entries:
      return operators_.list_entries(decode_install_id(match.variables.front()), target.query);
    case Call::get_snapshot:
      return operators_.snapshot();
    case Call::import_ledger:
      return operators_.import_ledger(request.body, std::move(import_slot));
    case Call::get_stats:
      return operators_.stats();
    case Call::get_actor:
      return operators_.actor(decode_install_id(match.variables.front()));
    case Call::get_quota:
      return not_modified_if_known(operators_.quota(request), request);
    case Call::put_quota:
      return operators_.put_quota(request);
    case Call::metrics:
      return operators_.metrics();
    default:
      throw std::logic_error{"a route without a call"};
  }
}

HttpResponse Api::shed(std::string reason) {
  ++context_.figures.server.shed;
  return to_response(overloaded(std::move(reason)));
}

Service::Begun Api::run_operation(codec::Op op, const Routed& routed, InFlight in_flight) {
  const HttpRequest& request = routed.request;
  auto operation = codec::decode_operation(op, address_of(op, routed.match, request), request.body);
  const auto pending = std::make_shared<PendingCall>(*this, routed, std::move(in_flight));
  pending->set_install(operation.install_id);
  context_.gateway.run(actors::Request{std::move(operation),
                                       std::make_shared<actors::Answers>(1, pending),
                                       0,
                                       {},
                                       pending->deadline()});
  return pending;
}

Service::Begun Api::run_batch(const Routed& routed, InFlight in_flight) {
  auto decoded = codec::decode_batch(routed.request.body);
  InFlight operations{operations_in_flight_, decoded.size()};
  if (operations.count() > limits_.operations_in_flight_max) {
    return shed("too many operations are in flight");
  }
  const auto pending =
      std::make_shared<PendingCall>(*this, routed, std::move(in_flight), std::move(operations));
  auto requests = requests_of(decoded, pending, pending->deadline());
  pending->set_batch(std::move(decoded));
  if (requests.empty()) {
    pending->answered({});
  } else {
    context_.gateway.run(std::move(requests));
  }
  return pending;
}

}  // namespace credits::http
