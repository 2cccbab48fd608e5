#include "http/api/routes.hpp"

#include <algorithm>
#include <utility>

#include "http/api/target.hpp"

namespace credits::http {

namespace {

// If the path matches, leaves the segments of the pattern's variables in `variables`.
bool matches(std::string_view pattern, const std::vector<std::string_view>& segments,
             std::vector<std::string_view>& variables) {
  const auto slashes = static_cast<std::size_t>(std::count(pattern.begin(), pattern.end(), '/'));
  if (slashes != segments.size()) return false;
  variables.clear();
  for (const std::string_view segment : segments) {
    pattern.remove_prefix(1);
    const std::string_view expected = pattern.substr(0, pattern.find('/'));
    pattern.remove_prefix(expected.size());
    if (expected.starts_with('{')) {
      variables.push_back(segment);
    } else if (segment != expected) {
      return false;
    }
  }
  return true;
}

}  // namespace

RouteMatch match_route(std::string_view method, const std::vector<std::string_view>& segments) {
  const std::string_view wanted = method == "HEAD" ? "GET" : method;
  RouteMatch match;
  std::vector<std::string_view> variables;
  for (const Route& route : routes) {
    if (!matches(route.path, segments, variables)) continue;
    if (route.method == wanted) return {&route, std::move(variables), {}};
    match.allowed.emplace_back(route.method);
    if (route.method == "GET") match.allowed.emplace_back("HEAD");
  }
  return match;
}

}  // namespace credits::http
