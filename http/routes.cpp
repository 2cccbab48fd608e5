#include "http/routes.hpp"

#include <utility>

#include "http/target.hpp"

namespace credits::http {

namespace {

bool matches(std::string_view pattern, const std::vector<std::string_view>& segments,
             std::vector<std::string_view>& variables) {
  pattern.remove_prefix(1);
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const std::size_t end = pattern.find('/');
    const std::string_view expected = pattern.substr(0, end);
    if (expected.starts_with('{')) {
      variables.push_back(segments[i]);
    } else if (segments[i] != expected) {
      return false;
    }
    const bool is_last = i + 1 == segments.size();
    if (is_last != (end == std::string_view::npos)) return false;
    if (!is_last) pattern.remove_prefix(end + 1);
  }
  return !segments.empty();
}

}  // namespace

RouteMatch match_route(std::string_view method, const std::vector<std::string_view>& segments) {
  const std::string_view wanted = method == "HEAD" ? "GET" : method;
  RouteMatch match;
  for (const Route& route : routes) {
    std::vector<std::string_view> variables;
    if (!matches(route.path, segments, variables)) continue;
    if (route.method == wanted) return {&route, std::move(variables), {}};
    match.allowed.emplace_back(route.method);
    if (route.method == "GET") match.allowed.emplace_back("HEAD");
  }
  return match;
}

}  // namespace credits::http
