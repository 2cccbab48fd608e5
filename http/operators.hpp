// The calls for operators: what is in the ledger, how the service is, and the quota.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "http/context.hpp"
#include "http/message.hpp"

namespace credits::http {

// Any number of threads may use it at once.
class Operators {
 public:
  Operators(const ApiContext& context, std::chrono::milliseconds answer_timeout)
      : context_{context}, answer_timeout_{answer_timeout} {}

  HttpResponse list_installs(std::string_view query) const;
  HttpResponse list_entries(const std::string& install_id, std::string_view query) const;
  HttpResponse snapshot() const;
  HttpResponse import_ledger(std::string_view body) const;
  HttpResponse actor(const std::string& install_id) const;
  HttpResponse stats() const;
  HttpResponse metrics() const;
  HttpResponse quota() const;
  HttpResponse put_quota(std::string_view body) const;
  HttpResponse readyz() const;

 private:
  const ApiContext& context_;
  const std::chrono::milliseconds answer_timeout_;
};

}  // namespace credits::http
