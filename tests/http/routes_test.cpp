#include "http/api/routes.hpp"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "http/api/assets.hpp"
#include "http/api/target.hpp"
#include "tests/catch.hpp"

namespace credits::http {
namespace {

RouteMatch match(std::string_view method, std::string_view target) {
  return match_route(method, split_target(target).segments);
}

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

std::string variable_of(const RouteMatch& match) {
  return match.variables.empty() ? "" : std::string{match.variables.front()};
}

TEST_CASE("a path and a method lead to one call") {
  struct Case {
    const char* method;
    const char* target;
    Call call;
    const char* variable;
  };
  const auto [method, target, call, variable] = GENERATE(values<Case>({
      {"PUT", "/v1/installs/a", Call::put_install, "a"},
      {"GET", "/v1/installs/a%2Fb", Call::get_install, "a%2Fb"},
      {"HEAD", "/v1/installs/a", Call::get_install, "a"},
      {"POST", "/v1/installs/plan/plan", Call::plan, "plan"},
      {"POST", "/v1/installs/a/commit?x", Call::commit, "a"},
      {"GET", "/v1/installs", Call::list_installs, ""},
      {"GET", "/v1/installs/", Call::get_install, ""},
      {"GET", "/healthz", Call::healthz, ""},
  }));
  INFO(method << " " << target);
  CHECK(match(method, target).route->call == call);
  CHECK(variable_of(match(method, target)) == variable);
}

TEST_CASE("a reservation's path names its install too") {
  const auto settle = match("POST", "/v1/installs/a%2Fb/reservations/r1/commit");
  CHECK(settle.route->call == Call::settle);
  CHECK(settle.variables == std::vector<std::string_view>{"a%2Fb", "r1"});
  CHECK(match("DELETE", "/v1/installs/a/reservations/r1").route->call == Call::release);
  CHECK(match("POST", "/v1/installs/a/reservations").route->call == Call::reserve);
  CHECK(match("POST", "/v1/batch").route->call == Call::batch);
}

TEST_CASE("an unknown path has no methods") {
  const std::string target = GENERATE(values<std::string>(
      {"", "/v1", "/v1/", "/v2/installs", "/v1/installs/a/b", "/v1/installs/a/plan/x", "/healthz/",
       "//healthz", "/V1/installs", "*", "healthz"}));
  INFO(target);
  CHECK(match("GET", target).route == nullptr);
  CHECK(match("GET", target).allowed.empty());
}

TEST_CASE("a method that a path lacks is answered with its methods") {
  using Methods = std::vector<std::string>;
  CHECK(match("DELETE", "/v1/installs/a").allowed == Methods{"GET", "HEAD", "PUT"});
  CHECK(match("GET", "/v1/installs/a/commit").allowed == Methods{"POST"});
  CHECK(match("get", "/healthz").allowed == Methods{"GET", "HEAD"});
  CHECK(match("DELETE", "/v1/installs/a").route == nullptr);
}

TEST_CASE("openapi.yaml describes exactly the existing calls") {
  std::set<std::pair<std::string, std::string>> described;
  const YAML::Node document = YAML::Load(std::string{openapi_yaml()});
  for (const auto& path : document["paths"]) {
    for (const auto& operation : path.second) {
      const auto method = operation.first.as<std::string>();
      if (method == "parameters") continue;
      described.emplace(upper(method), path.first.as<std::string>());
    }
  }
  std::set<std::pair<std::string, std::string>> served;
  for (const Route& route : routes) served.emplace(route.method, route.path);
  CHECK(described == served);
}

TEST_CASE("every reference in openapi.yaml resolves") {
  const YAML::Node document = YAML::Load(std::string{openapi_yaml()});
  std::vector<YAML::Node> pending{document};
  std::size_t references = 0;
  while (!pending.empty()) {
    const YAML::Node node = pending.back();
    pending.pop_back();
    if (node.IsSequence()) {
      for (const auto& item : node) pending.push_back(item);
    }
    if (!node.IsMap()) continue;
    for (const auto& member : node) pending.push_back(member.second);
    if (!node["$ref"]) continue;
    ++references;
    const auto reference = node["$ref"].as<std::string>();
    YAML::Node place = YAML::Clone(document);
    for (const auto segment : split_target(std::string_view{reference}.substr(1)).segments) {
      place.reset(place[std::string{segment}]);
    }
    INFO(reference);
    CHECK(place.IsMap());
  }
  CHECK(references > 50);
}

}  // namespace
}  // namespace credits::http
