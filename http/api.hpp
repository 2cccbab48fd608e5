// The calls of the wire contract: from a request to its answer, by way of the gateway actor.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <string>

#include "actors/environment.hpp"
#include "actors/interfaces.hpp"
#include "http/codec/request.hpp"
#include "http/message.hpp"
#include "http/quota_file.hpp"
#include "http/routes.hpp"

namespace credits::http {

struct ApiLimits {
  std::size_t requests_in_flight_max = 10'000;       // beyond: 503, and nothing was done
  std::size_t operations_in_flight_max = 131'072;    // of batches; beyond: the same
  std::chrono::milliseconds answer_timeout{30'000};  // for the actors; beyond: 503, outcome unknown
};

// Any number of threads may call handle() at once.
class Api {
 public:
  Api(actors::gateway_actor gateway, const actors::Environment& environment, QuotaFile& quota_file,
      ApiLimits limits)
      : gateway_{std::move(gateway)},
        environment_{environment},
        quota_file_{quota_file},
        limits_{limits} {}

  HttpResponse handle(const HttpRequest& request);

 private:
  HttpResponse route(const HttpRequest& request);
  HttpResponse run(Call call, const RouteMatch& match, const HttpRequest& request,
                   std::string_view query);
  HttpResponse run_operation(codec::Op op, const RouteMatch& match, const HttpRequest& request);
  HttpResponse run_batch(std::string_view body);
  HttpResponse list_installs(std::string_view query);
  HttpResponse list_entries(const std::string& install_id, std::string_view query);
  HttpResponse snapshot();
  HttpResponse put_quota(std::string_view body);
  HttpResponse readyz() const;

  template <class Result>
  Result wait_for(std::future<Result> future) const;

  const actors::gateway_actor gateway_;
  const actors::Environment& environment_;
  QuotaFile& quota_file_;
  const ApiLimits limits_;
  std::atomic<std::size_t> in_flight_{0};
  std::atomic<std::size_t> operations_in_flight_{0};
};

}  // namespace credits::http
