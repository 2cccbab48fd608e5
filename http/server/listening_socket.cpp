#include "http/server/listening_socket.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

namespace credits::http {

namespace {

using std::chrono::steady_clock;

// Another creditsd locks the directory only briefly.
constexpr std::chrono::seconds directory_wait_max{5};
constexpr std::chrono::milliseconds directory_interval{10};

class Descriptor {
 public:
  explicit Descriptor(int number) : number_{number} {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(Descriptor&& other) noexcept : number_{other.release()} {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return number_; }
  int release() { return std::exchange(number_, -1); }

 private:
  int number_;
};

[[noreturn]] void refuse(const Address& address, const std::string& reason,
                         const std::string& advice = "") {
  throw std::runtime_error{"cannot listen on " + text_of(address) + ": " + reason + "; " + advice +
                           "choose another address with --listen"};
}

// The number is negative on failure; errno has the reason.
Descriptor new_socket(int family) {
  return Descriptor{::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
}

void set_option(int socket, int level, int option, int value) {
  ::setsockopt(socket, level, option, &value, sizeof(value));
}

using AddressList = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

AddressList resolve(const Address& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error =
      ::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found);
  if (error == EAI_SYSTEM) refuse(address, std::strerror(errno));
  if (error != 0) refuse(address, ::gai_strerror(error));
  return {found, ::freeaddrinfo};
}

// Connections inherit the options. SO_REUSEPORT is not set, because two servers would silently
// share a port.
bool take_tcp_address(int socket, const addrinfo& address) {
  if (socket < 0) return false;
  set_option(socket, SOL_SOCKET, SO_REUSEADDR, 1);
  set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1);
  // [::] accepts IPv4 too.
  if (address.ai_family == AF_INET6) set_option(socket, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  return ::bind(socket, address.ai_addr, address.ai_addrlen) == 0 &&
         ::listen(socket, SOMAXCONN) == 0;
}

Descriptor listen_on_tcp(const Address& address) {
  const AddressList found = resolve(address);
  int error = 0;
  for (const addrinfo* one = found.get(); one != nullptr; one = one->ai_next) {
    Descriptor socket = new_socket(one->ai_family);
    if (take_tcp_address(socket.get(), *one)) return socket;
    error = errno;
  }
  refuse(address, std::strerror(error));
}

int port_of(int socket) {
  sockaddr_storage taken{};
  socklen_t size = sizeof(taken);
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&taken), &size);
  return ntohs(taken.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(taken).sin6_port
                                           : reinterpret_cast<sockaddr_in&>(taken).sin_port);
}

// Until the descriptor is closed, no other creditsd makes or removes a socket in the directory.
Descriptor lock_directory(const Address& address) {
  const auto directory = std::filesystem::path{address.socket_path}.parent_path();
  const auto fail = [&](const std::string& reason) {
    refuse(address, "its directory " + directory.string() + ": " + reason,
           "make it a directory that this user can read and write, or ");
  };
  Descriptor held{::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (held.get() < 0) fail(std::strerror(errno));
  const auto end = steady_clock::now() + directory_wait_max;
  while (::flock(held.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) fail(std::strerror(errno));
    if (steady_clock::now() > end) fail("another process keeps it locked");
    std::this_thread::sleep_for(directory_interval);
  }
  return held;
}

sockaddr_un unix_address_of(const Address& address) {
  sockaddr_un system{};
  system.sun_family = AF_UNIX;
  address.socket_path.copy(system.sun_path, socket_path_bytes_max);
  return system;
}

// The error of connecting; 0 if a process listens there.
int error_of_connecting(const Address& address) {
  const Descriptor socket = new_socket(AF_UNIX);
  if (socket.get() < 0) return errno;
  const sockaddr_un there = unix_address_of(address);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&there), sizeof(there)) == 0 ||
      errno == EAGAIN) {
    return 0;
  }
  return errno;
}

// Removes the socket of a process that has ended.
void remove_stale_socket(const Address& address) {
  struct ::stat found {};
  if (::lstat(address.socket_path.c_str(), &found) != 0) {
    if (errno == ENOENT) return;
    refuse(address, std::strerror(errno));
  }
  if (!S_ISSOCK(found.st_mode)) refuse(address, "the file there is not a socket", "remove it, or ");
  const int error = error_of_connecting(address);
  if (error == 0) refuse(address, "another process listens there", "stop that one, or ");
  if (error != ECONNREFUSED) {
    refuse(address, std::string{"cannot find out whether a process listens on the socket there: "} +
                        std::strerror(error));
  }
  if (::unlink(address.socket_path.c_str()) != 0) {
    refuse(address, std::string{"cannot remove the stale socket there: "} + std::strerror(errno));
  }
}

Descriptor listen_on_unix(const Address& address, mode_t mode) {
  const Descriptor directory = lock_directory(address);
  remove_stale_socket(address);
  Descriptor socket = new_socket(AF_UNIX);
  if (socket.get() < 0) refuse(address, std::strerror(errno));
  ::fchmod(socket.get(), S_IRUSR | S_IWUSR);  // Linux limits the file's permissions to these
  const sockaddr_un here = unix_address_of(address);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&here), sizeof(here)) != 0) {
    refuse(address, std::strerror(errno), "make its directory writable for this user, or ");
  }
  if (::listen(socket.get(), SOMAXCONN) != 0 || ::chmod(address.socket_path.c_str(), mode) != 0) {
    const std::string reason = std::strerror(errno);
    ::unlink(address.socket_path.c_str());
    refuse(address, reason);
  }
  return socket;
}

}  // namespace

ListeningSocket::ListeningSocket(const Address& address, mode_t mode) : address_{address} {
  if (address.is_unix()) {
    descriptor_ = listen_on_unix(address, mode).release();
    ::lstat(address.socket_path.c_str(), &file_);
  } else {
    descriptor_ = listen_on_tcp(address).release();
    address_.port = port_of(descriptor_);
  }
}

// Removes the file while its socket still listens, so that no other creditsd can have taken the
// path over.
ListeningSocket::~ListeningSocket() {
  struct ::stat found {};
  if (address_.is_unix() && ::lstat(address_.socket_path.c_str(), &found) == 0 &&
      found.st_dev == file_.st_dev && found.st_ino == file_.st_ino) {
    ::unlink(address_.socket_path.c_str());
  }
  ::close(descriptor_);
}

}  // namespace credits::http
