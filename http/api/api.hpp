// Answers the calls of the wire contract by way of the actors' gateway.
#pragma once

#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "http/api/context.hpp"
#include "http/api/in_flight.hpp"
#include "http/api/operators.hpp"
#include "http/api/routes.hpp"
#include "http/api/target.hpp"
#include "http/codec/request.hpp"
#include "http/server/service.hpp"

namespace credits::http {

struct ApiLimits {
  std::size_t requests_in_flight_max = 10'000;       // beyond: 503, no effect
  std::size_t operations_in_flight_max = 131'072;    // of batches; beyond: the same
  std::size_t snapshots_max = 8;                     // being sent; beyond: the same
  std::size_t operator_calls_max = 256;              // waiting for the store; beyond: the same
  std::chrono::milliseconds answer_timeout{30'000};  // for the actors; beyond: 503, outcome unknown
  std::chrono::milliseconds import_timeout{600'000};  // the same, for an import
  std::chrono::milliseconds slow_request{1'000};      // log those that take this long
};

class Api : public Service {
 public:
  Api(ApiContext context, ApiLimits limits)
      : context_{std::move(context)},
        limits_{limits},
        operators_{context_,
                   {limits_.operator_calls_max, limits_.snapshots_max, limits_.answer_timeout,
                    limits_.import_timeout}} {}

  Admission admit(const HttpRequest& request) override;
  HttpResponse refuse(int status, std::string detail) override;
  HttpResponse failed(const std::exception& error) override;
  Begun begin(const HttpRequest& request, const Admission& admission,
              const std::shared_ptr<Listener>& listener) override;

 private:
  class PendingCall;
  struct Found;

  // A request with its route.
  struct Routed {
    const HttpRequest& request;
    const Target& target;
    const RouteMatch& match;
    std::unique_ptr<InFlight>& import_slot;
    const std::shared_ptr<Listener>& listener;
  };

  Begun begin_or_refuse(const Routed& routed);
  Begun run(const Routed& routed);
  Begun run(Call call, const Routed& routed);
  Begun run_operation(codec::Op op, const Routed& routed, InFlight in_flight);
  Begun run_batch(const Routed& routed, InFlight in_flight);
  HttpResponse answer_now(Call call, const Routed& routed);
  HttpResponse answer_without_call(const Routed& routed);
  HttpResponse unexpected(const std::exception& error);
  HttpResponse shed(std::string reason);
  void admit_import(Admission& admission, const Found& found);
  HttpResponse refusal(const Route* route, const Problem& problem);
  void count(const Route* route, const HttpResponse& response);
  void measure(Call call, std::string_view request, actors::SteadyTime began);

  const ApiContext context_;
  const ApiLimits limits_;
  const Operators operators_;
  InFlightCount operations_in_flight_;
};

}  // namespace credits::http
