#include "persistence/postgres/hosts.hpp"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include "persistence/postgres/uri.hpp"
#include "persistence/store.hpp"

namespace credits::persistence::postgres {

namespace {

constexpr int connect_timeout_seconds = 3;

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts{""};
  for (const char byte : list) {
    byte == ',' ? static_cast<void>(parts.emplace_back()) : parts.back().push_back(byte);
  }
  return parts;
}

// Lists of different lengths are passed on unsplit, and libpq reports them.
std::vector<Host> hosts_of(const std::string& names, const std::string& addresses,
                           const std::string& ports) {
  auto name_list = split(names);
  auto address_list = split(addresses);
  auto port_list = split(ports);
  const std::size_t count = std::max(name_list.size(), address_list.size());
  if (names.empty()) name_list.assign(count, "");
  if (addresses.empty()) address_list.assign(count, "");
  if (port_list.size() == 1) port_list.assign(count, ports);
  const bool do_fit =
      name_list.size() == count && address_list.size() == count && port_list.size() == count;
  if (!do_fit) return {{names, addresses, ports}};
  std::vector<Host> hosts;
  for (std::size_t i = 0; i < count; ++i) {
    hosts.push_back({name_list[i], address_list[i], port_list[i]});
  }
  return hosts;
}

std::string take(std::map<std::string, std::string>& options, const std::string& keyword) {
  const auto node = options.extract(keyword);
  return node.empty() ? std::string{} : node.mapped();
}

// 0 would mean no timeout.
std::string shorter_timeout(const std::string& wanted) {
  int seconds = 0;
  std::from_chars(wanted.data(), wanted.data() + wanted.size(), seconds);
  const bool is_shorter = seconds > 0 && seconds < connect_timeout_seconds;
  return std::to_string(is_shorter ? seconds : connect_timeout_seconds);
}

}  // namespace

Hosts::Hosts(const std::string& uri) {
  auto options = options_of(uri);
  if (!options) {
    throw StoreError{StoreErrorKind::refused,
                     "not a URI of PostgreSQL, such as postgresql://USER@HOST:5432/DATABASE"};
  }
  options_ = std::move(*options);
  const std::string names = take(options_, "host");
  const std::string addresses = take(options_, "hostaddr");
  hosts_ = hosts_of(names, addresses, take(options_, "port"));
  options_["connect_timeout"] = shorter_timeout(options_["connect_timeout"]);
  for (const auto& [keyword, value] : {std::pair{"tcp_user_timeout", "10000"},
                                       {"keepalives_idle", "5"},
                                       {"keepalives_interval", "2"},
                                       {"keepalives_count", "3"},
                                       {"application_name", "creditsd"},
                                       {"target_session_attrs", "read-write"}}) {
    options_.try_emplace(keyword, value);
  }
}

void Hosts::put_first(const Host& host) {
  const auto place = std::find(hosts_.begin(), hosts_.end(), host);
  if (place != hosts_.end()) std::rotate(hosts_.begin(), place, place + 1);
}

void Hosts::put_last(const Host& host) {
  const auto place = std::find(hosts_.begin(), hosts_.end(), host);
  if (place != hosts_.end()) std::rotate(place, place + 1, hosts_.end());
}

std::map<std::string, std::string> Hosts::parameters_of(const Host& host) const {
  auto parameters = options_;
  for (const auto& [keyword, value] :
       {std::pair{"host", &host.name}, {"hostaddr", &host.address}, {"port", &host.port}}) {
    if (!value->empty()) parameters[keyword] = *value;
  }
  return parameters;
}

// Parses "-c search_path=a,b -c …"; a backslash escapes the next character.
std::string Hosts::search_path() const {
  constexpr std::string_view name = "search_path=";
  const auto options = options_.find("options");
  if (options == options_.end()) return {};
  const std::size_t found = options->second.rfind(name);
  if (found == std::string::npos) return {};
  std::string value;
  for (std::size_t at = found + name.size(); at < options->second.size(); ++at) {
    if (options->second[at] == ' ') break;
    if (options->second[at] == '\\' && at + 1 < options->second.size()) ++at;
    value += options->second[at];
  }
  return value;
}

}  // namespace credits::persistence::postgres
