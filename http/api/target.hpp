// The request target: its path segments and query parameters, percent-decoded one by one, so that
// an install id with a slash in it (`a%2Fb`) stays one segment.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace credits::http {

// nullopt if an escape is not % and two hex digits.
std::optional<std::string> percent_decoded(std::string_view text);

struct Target {
  std::string_view path;                   // as sent
  std::vector<std::string_view> segments;  // of the path, as sent: `/v1/x` has `v1` and `x`
  std::string_view query;                  // as sent, without its question mark
};

// Views into `target`.
Target split_target(std::string_view target);

using QueryParameters = std::map<std::string, std::string, std::less<>>;

// Throws ProblemError for a broken escape, or a parameter that is unknown or given twice.
QueryParameters decode_query(std::string_view query, const std::vector<std::string_view>& known);

}  // namespace credits::http
