// A relay between a client and a server on loopback. A test can freeze or close it, as networks and
// servers do: a frozen relay still accepts connections, as the kernel does for a hanging process.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <list>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace credits::tests {

class Relay {
 public:
  explicit Relay(int server_port) : server_port_{server_port} {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = on_loopback(0);
    socklen_t size = sizeof address;
    if (::bind(listener_, as_address(address), size) != 0 || ::listen(listener_, 100) != 0 ||
        ::getsockname(listener_, as_address(address), &size) != 0) {
      throw std::runtime_error{"cannot listen on loopback"};
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::thread{[this] { run(); }};
  }
  ~Relay() { close(); }
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  int port() const { return port_; }
  int accepted() const { return accepted_; }
  void freeze() { is_frozen_ = true; }
  // Ends the connection on which the next answer arrives, without the answer.
  void lose_next_answer() { loses_next_answer_ = true; }

  // Refuses connections from now on, and ends the existing ones.
  void close() {
    if (!thread_.joinable()) return;
    is_closed_ = true;
    thread_.join();
    for (const Pair& pair : pairs_) end(pair);
    ::close(listener_);
  }

 private:
  struct Pair {
    int client;
    int server;
  };

  static sockaddr_in on_loopback(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }
  static sockaddr* as_address(sockaddr_in& address) {
    return reinterpret_cast<sockaddr*>(&address);
  }
  static void end(const Pair& pair) {
    ::close(pair.client);
    ::close(pair.server);
  }

  static bool is_readable(int socket, int wait_ms) {
    pollfd polled{socket, POLLIN, 0};
    return ::poll(&polled, 1, wait_ms) > 0;
  }

  static bool pass(int from, int to) {
    if (!is_readable(from, 0)) return true;
    std::array<char, 65'536> bytes{};
    const ssize_t count = ::read(from, bytes.data(), bytes.size());
    return count > 0 &&
           ::send(to, bytes.data(), static_cast<std::size_t>(count), MSG_NOSIGNAL) == count;
  }

  bool pass_answer(const Pair& pair) {
    if (loses_next_answer_ && is_readable(pair.server, 0))
      return !loses_next_answer_.exchange(false);
    return pass(pair.server, pair.client);
  }

  void accept() {
    sockaddr_in address = on_loopback(server_port_);
    const Pair pair{::accept(listener_, nullptr, nullptr), ::socket(AF_INET, SOCK_STREAM, 0)};
    ++accepted_;
    if (::connect(pair.server, as_address(address), sizeof address) == 0) {
      pairs_.push_back(pair);
    } else {
      end(pair);
    }
  }

  void run() {
    while (!is_closed_) {
      if (is_readable(listener_, 1)) accept();
      if (is_frozen_) continue;
      pairs_.remove_if([this](const Pair& pair) {
        const bool is_open = pass(pair.client, pair.server) && pass_answer(pair);
        if (!is_open) end(pair);
        return !is_open;
      });
    }
  }

  const int server_port_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<int> accepted_{0};
  std::atomic<bool> is_frozen_{false};
  std::atomic<bool> loses_next_answer_{false};
  std::atomic<bool> is_closed_{false};
  std::list<Pair> pairs_;  // owned by the thread until it has ended
  std::thread thread_;
};

}  // namespace credits::tests
