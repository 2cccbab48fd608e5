// The operators' calls: the ledger's content, the service's state, and the quota.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "http/api/context.hpp"
#include "http/api/in_flight.hpp"
#include "http/server/etag.hpp"
#include "http/server/message.hpp"

namespace credits::http {

struct OperatorLimits {
  std::size_t calls_max;      // waiting for the store; beyond: 503, no effect
  std::size_t snapshots_max;  // being sent; beyond: the same
  std::chrono::milliseconds answer_timeout;
  std::chrono::milliseconds import_timeout;
};

inline constexpr const char* import_under_way = "another import is under way";

// Thread-safe.
class Operators {
 public:
  Operators(const ApiContext& context, const OperatorLimits& limits)
      : context_{context}, limits_{limits} {}

  HttpResponse list_installs(std::string_view query) const;
  HttpResponse list_entries(const std::string& install_id, std::string_view query) const;
  HttpResponse snapshot() const;
  // The only slot; null while another import has it.
  std::unique_ptr<InFlight> slot_for_import() const;
  HttpResponse import_ledger(std::string_view body, std::unique_ptr<InFlight> slot) const;
  HttpResponse actor(const std::string& install_id) const;
  HttpResponse stats() const;
  HttpResponse metrics() const;
  HttpResponse quota(const HttpRequest& request) const;
  HttpResponse put_quota(const HttpRequest& request) const;
  HttpResponse readyz() const;

 private:
  InFlight slot_for_call() const;
  InFlight slot_for_snapshot() const;
  HttpResponse replace_quota(const ledger::Quota& quota, const TagList& if_match,
                             const TagList& if_none_match) const;
  [[noreturn]] void shed(std::string reason) const;

  const ApiContext& context_;
  const OperatorLimits limits_;
  InFlightCount calls_;
  InFlightCount imports_;
  InFlightCount snapshots_;
};

}  // namespace credits::http
