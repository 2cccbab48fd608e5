// What the calls of the API are answered from.
#pragma once

#include <chrono>
#include <future>
#include <memory>
#include <string>

#include "actors/environment.hpp"
#include "actors/interfaces.hpp"
#include "http/access.hpp"
#include "http/figures.hpp"
#include "http/problem.hpp"
#include "http/quota_home.hpp"

namespace credits::http {

struct ServerFacts {
  std::string version;
  std::string engine;  // of the store
  ledger::Time started_at = actors::system_time();
  actors::SteadyTime up_since = std::chrono::steady_clock::now();
};

// All of it outlives the API.
struct ApiContext {
  actors::gateway_actor gateway;
  const actors::Environment& environment;
  QuotaKeeper& quota;
  const Access& access;
  HttpFigures& figures;
  ServerFacts facts;
};

template <class Result>
struct Question {
  actors::Promise<Result> promise = std::make_shared<std::promise<Result>>();
  std::future<Result> answer = promise->get_future();
};

// What an actor answers. Throws ProblemError if that takes longer than `timeout`.
template <class Result>
Result wait_for(std::future<Result> future, std::chrono::milliseconds timeout) {
  if (future.wait_for(timeout) != std::future_status::ready) {
    throw ProblemError{storage_unavailable("there was no answer in time")};
  }
  return future.get();
}

}  // namespace credits::http
