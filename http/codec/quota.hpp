// The quota file, which is also the body of GET and PUT /v1/quota.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "actors/ledger/quota.hpp"

namespace credits::http::codec {

// `is_syntax`: the text is not JSON. Otherwise `field`, if set, is at fault: "pro" or
// "pro.monthly".
class QuotaError : public std::runtime_error {
 public:
  QuotaError(const std::string& what, std::optional<std::string> field, bool is_syntax)
      : std::runtime_error{what}, field_{std::move(field)}, is_syntax_{is_syntax} {}

  const std::optional<std::string>& field() const { return field_; }
  bool is_syntax() const { return is_syntax_; }

 private:
  std::optional<std::string> field_;
  bool is_syntax_;
};

// Throws QuotaError for anything that is not a quota.
ledger::Quota decode_quota(std::string_view text);

std::string encode(const ledger::Quota& quota);

// The quota of a new data directory.
ledger::Quota default_quota();

}  // namespace credits::http::codec
