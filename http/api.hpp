// The calls of the wire contract: from a request to its answer, by way of the gateway actor.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include "http/codec/request.hpp"
#include "http/context.hpp"
#include "http/message.hpp"
#include "http/operators.hpp"
#include "http/routes.hpp"
#include "http/target.hpp"

namespace credits::http {

struct ApiLimits {
  std::size_t requests_in_flight_max = 10'000;       // beyond: 503, and nothing was done
  std::size_t operations_in_flight_max = 131'072;    // of batches; beyond: the same
  std::chrono::milliseconds answer_timeout{30'000};  // for the actors; beyond: 503, outcome unknown
  std::chrono::milliseconds slow_request{1'000};     // what takes as long is told to the operator
};

// Any number of threads may call admit() and handle() at once.
class Api {
 public:
  Api(ApiContext context, ApiLimits limits)
      : context_{std::move(context)},
        limits_{limits},
        operators_{context_, limits_.answer_timeout} {}

  // What becomes of a request before its body is read.
  Admission admit(const HttpRequest& request);

  HttpResponse handle(const HttpRequest& request);

 private:
  HttpResponse answer_or_refuse(const HttpRequest& request, const Target& target,
                                const RouteMatch& match);
  HttpResponse route(const HttpRequest& request, const Target& target, const RouteMatch& match);
  HttpResponse run(Call call, const RouteMatch& match, const HttpRequest& request,
                   const Target& target);
  HttpResponse run_operation(codec::Op op, const RouteMatch& match, const HttpRequest& request);
  HttpResponse run_batch(std::string_view body);
  HttpResponse shed(std::string reason);
  Admission admit_import(const Route* route);
  HttpResponse refusal(const Route* route, const Problem& problem);
  void count(const Route* route, const HttpResponse& response);
  void measure(Call call, const HttpRequest& request, actors::SteadyTime began);

  const ApiContext context_;
  const ApiLimits limits_;
  const Operators operators_;
  std::atomic<std::size_t> operations_in_flight_{0};
};

}  // namespace credits::http
