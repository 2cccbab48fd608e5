// The data and services that the API answers from.
#pragma once

#include <chrono>
#include <string>

#include "actors/environment.hpp"
#include "actors/gateway.hpp"
#include "http/api/access.hpp"
#include "http/api/figures.hpp"
#include "http/api/quota_storage.hpp"

namespace credits::http {

struct ServerFacts {
  std::string version;
  std::string engine;  // of the store
  ledger::Time started_at = actors::system_time();
  actors::SteadyTime up_since = std::chrono::steady_clock::now();
};

// Everything it refers to must outlive the API.
struct ApiContext {
  const actors::Gateway& gateway;
  const actors::Environment& environment;
  QuotaKeeper& quota;
  const Access& access;
  HttpFigures& figures;
  ServerFacts facts;
};

}  // namespace credits::http
