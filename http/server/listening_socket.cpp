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
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "http/server/descriptor.hpp"

namespace credits::http {

namespace {

using std::chrono::steady_clock;

// Another creditsd has the lock for a moment only.
constexpr std::chrono::seconds lock_wait_max{5};
constexpr std::chrono::milliseconds lock_interval{10};

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

// No other creditsd makes or removes a socket there until the descriptor is closed. The file stays:
// if it were removed, two processes could lock two files of that name.
Descriptor lock_path(const Address& address) {
  const std::string path = address.socket_path + ".lock";
  const auto fail = [&](const std::string& reason) {
    refuse(address, "its lock file " + path + ": " + reason,
           "see that its directory is there and writable, and the lock file this user's, or ");
  };
  Descriptor held{
      ::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR)};
  if (held.get() < 0) fail(std::strerror(errno));
  const auto end = steady_clock::now() + lock_wait_max;
  while (::flock(held.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) fail(std::strerror(errno));
    if (steady_clock::now() > end) fail("another process keeps it locked");
    std::this_thread::sleep_for(lock_interval);
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

// Opens the file that bind() has just made, and stores its identity in `found`.
Descriptor open_bound_file(const Address& address, struct ::stat& found) {
  Descriptor file{::open(address.socket_path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC)};
  if (file.get() < 0 || ::fstat(file.get(), &found) != 0) refuse(address, std::strerror(errno));
  if (!S_ISSOCK(found.st_mode) || found.st_uid != ::geteuid()) {
    refuse(address, "another file has taken the place of the socket");
  }
  return file;
}

// Changes the mode of that file, even if another file has taken its name.
bool set_mode(const Descriptor& file, mode_t mode) {
  return ::chmod(("/proc/self/fd/" + std::to_string(file.get())).c_str(), mode) == 0;
}

Descriptor listen_on_unix(const Address& address, mode_t mode, struct ::stat& found) {
  const Descriptor lock = lock_path(address);
  remove_stale_socket(address);
  Descriptor socket = new_socket(AF_UNIX);
  if (socket.get() < 0) refuse(address, std::strerror(errno));
  ::fchmod(socket.get(), S_IRUSR | S_IWUSR);  // Linux limits the file's permissions to these
  const sockaddr_un here = unix_address_of(address);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&here), sizeof(here)) != 0) {
    refuse(address, std::strerror(errno), "make its directory writable for this user, or ");
  }
  const Descriptor file = open_bound_file(address, found);
  if (::listen(socket.get(), SOMAXCONN) != 0 || !set_mode(file, mode)) {
    const std::string reason = std::strerror(errno);
    ::unlink(address.socket_path.c_str());
    refuse(address, reason);
  }
  return socket;
}

}  // namespace

ListeningSocket::ListeningSocket(const Address& address, mode_t mode) : address_{address} {
  if (address.is_unix()) {
    descriptor_ = listen_on_unix(address, mode, file_).release();
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
