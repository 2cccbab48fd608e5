#include "tools/creditsd/addresses.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>
#include <string_view>

#include "http/server/text.hpp"

namespace credits::creditsd {

namespace {

constexpr std::string_view unix_prefix = "unix:";
constexpr int port_max = 65'535;

[[noreturn]] void refuse(std::string_view text, const std::string& fault) {
  throw AddressError{"\"" + std::string{text} + "\" " + fault};
}

http::Address parse_unix(std::string_view text) {
  const std::filesystem::path path{text.substr(unix_prefix.size())};
  const std::string file = path.filename();
  if (!path.is_absolute()) {
    refuse(text, "has no absolute path; an address reads like unix:/run/creditsd/creditsd.sock");
  }
  if (file.empty() || file == "." || file == "..") refuse(text, "names a directory, not a socket");
  if (path.native().size() > http::socket_path_bytes_max) {
    refuse(text, "has a path of " + std::to_string(path.native().size()) +
                     " bytes; a socket's path has at most " +
                     std::to_string(http::socket_path_bytes_max));
  }
  return {.socket_path = path};
}

std::optional<int> parse_port(std::string_view text) {
  int port = 0;
  const char* const end = text.data() + text.size();
  const auto [parsed_to, error] = std::from_chars(text.data(), end, port);
  if (error != std::errc{} || parsed_to != end || port < 0 || port > port_max) return std::nullopt;
  return port;
}

// The host, without the brackets of an IPv6 address; empty if it is invalid.
std::string_view parse_host(std::string_view text) {
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  return text.find_first_of("[]/ \t") == text.npos ? text : "";
}

http::Address parse_tcp(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  const std::string_view host = colon == text.npos ? "" : parse_host(text.substr(0, colon));
  if (host.empty()) refuse(text, "is neither HOST:PORT, like 127.0.0.1:8787, nor unix:/PATH");
  const auto port = parse_port(text.substr(colon + 1));
  if (!port) refuse(text, "has no port from 0 to " + std::to_string(port_max));
  return {std::string{host}, *port};
}

}  // namespace

std::vector<http::Address> parse_addresses(const std::string& text) {
  std::vector<http::Address> addresses;
  for (const std::string_view one : http::split(text, ',')) {
    if (one.empty()) refuse(text, "has an empty address");
    const http::Address address = one.starts_with(unix_prefix) ? parse_unix(one) : parse_tcp(one);
    const bool is_one = address.is_unix() || address.port != 0;  // each 0 is a different port
    if (is_one && std::find(addresses.begin(), addresses.end(), address) != addresses.end()) {
      refuse(one, "is given twice");
    }
    addresses.push_back(address);
  }
  return addresses;
}

}  // namespace credits::creditsd
