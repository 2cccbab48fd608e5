// An address on which a server listens.
#pragma once

#include <sys/un.h>

#include <cstddef>
#include <string>

namespace credits::http {

// sockaddr_un holds the path with a terminating NUL.
inline constexpr std::size_t socket_path_bytes_max = sizeof(sockaddr_un::sun_path) - 1;

struct Address {
  std::string host{};  // without the brackets of an IPv6 address
  int port = 0;        // 0: any free port
  // Of a Unix socket: an absolute path of at most socket_path_bytes_max bytes. Empty: TCP.
  std::string socket_path{};

  bool is_unix() const { return !socket_path.empty(); }
  bool operator==(const Address&) const = default;
};

// `HOST:PORT`, or `unix:/PATH`.
inline std::string text_of(const Address& address) {
  if (address.is_unix()) return "unix:" + address.socket_path;
  const bool is_v6 = address.host.find(':') != std::string::npos;
  return (is_v6 ? "[" + address.host + "]" : address.host) + ":" + std::to_string(address.port);
}

}  // namespace credits::http
