#include "http/server/server.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "http/server/descriptor.hpp"
#include "http/server/event_loop.hpp"
#include "http/server/listening_socket.hpp"

namespace credits::http {

namespace {

// Connections accepted on one address before the others have their turn.
constexpr int accepts_in_a_row = 32;

// Gives the operating system time to free files or memory.
constexpr int accept_pause_ms = 100;

// Reads from a refused connection; together more than the largest head.
constexpr int drains_max = 5;

std::size_t loops_of(const ServerOptions& options) {
  if (options.loops > 0) return options.loops;
  return std::max(1U, std::thread::hardware_concurrency());
}

// Reads what has arrived: unread bytes would make the kernel reset the connection and lose the
// answer.
void drain(int socket) {
  std::array<char, 16 * 1'024> room{};
  for (int i = 0; i < drains_max; ++i) {
    if (::recv(socket, room.data(), room.size(), MSG_DONTWAIT) <= 0) return;
  }
}

class Loops {
 public:
  Loops() = default;
  ~Loops() {
    for (const auto& loop : loops_) loop->end();
    for (const auto& loop : loops_) loop->join();
  }
  Loops(const Loops&) = delete;
  Loops& operator=(const Loops&) = delete;

  void add(std::unique_ptr<EventLoop> loop) { loops_.push_back(std::move(loop)); }

  EventLoop& next() { return *loops_[next_++ % loops_.size()]; }

 private:
  std::vector<std::unique_ptr<EventLoop>> loops_;
  std::size_t next_ = 0;
};

}  // namespace

class Server::Impl {
 public:
  Impl(ServerOptions options, ServerFigures& figures, Service& service)
      : options_{std::move(options)}, figures_{figures}, service_{service} {}
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  std::vector<Address> start() {
    std::vector<Address> taken;
    for (const Address& address : options_.addresses) {
      listening_.push_back(std::make_unique<ListeningSocket>(address, options_.socket_mode));
      taken.push_back(listening_.back()->address());
    }
    start_threads();
    return taken;
  }

  void serve() {
    const int error = accept_until_stopped();
    listening_.clear();
    loops_.reset();
    workers_.reset();
    if (error != 0) {
      throw std::runtime_error{std::string{"a listening socket failed: "} + std::strerror(error)};
    }
  }

  void stop() const { ::eventfd_write(stop_event_.get(), 1); }

 private:
  void start_threads() {
    workers_.emplace(options_.workers, options_.calls_waiting_max);
    loops_.emplace();
    for (std::size_t i = 0; i < loops_of(options_); ++i) {
      loops_->add(
          std::make_unique<EventLoop>(options_.limits, service_, figures_, *workers_, budget_));
    }
  }

  // Returns the error after which no connection can be accepted; 0 after stop().
  int accept_until_stopped() {
    std::vector<pollfd> watched{{stop_event_.get(), POLLIN, 0}};
    for (const auto& one : listening_) watched.push_back({one->descriptor(), POLLIN, 0});
    while (true) {
      if (::poll(watched.data(), watched.size(), -1) < 0) {
        if (errno == EINTR) continue;
        return errno;
      }
      if (watched.front().revents != 0) return 0;
      for (std::size_t i = 0; i < listening_.size(); ++i) {
        const int error = watched[i + 1].revents == 0 ? 0 : accept_from(*listening_[i]);
        if (error != 0) return error;
      }
    }
  }

  // Returns a permanent error; 0 if there is none.
  int accept_from(const ListeningSocket& listening) {
    for (int i = 0; i < accepts_in_a_row; ++i) {
      Descriptor socket{
          ::accept4(listening.descriptor(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
      if (socket.get() >= 0) {
        if (take_in_or_drop(std::move(socket), listening)) continue;
        return 0;
      }
      switch (const int error = errno) {
        case EAGAIN:
          return 0;
        case EINTR:
        case ECONNABORTED:
          break;
        case EBADF:
        case EINVAL:
        case ENOTSOCK:
          return error;
        default:
          pause_accepting(error);
          return 0;
      }
    }
    return 0;
  }

  // Most likely files or memory are short. New connections wait in the socket's queue.
  void pause_accepting(int error) {
    options_.report(
        "accept_failed",
        std::string{"no connection can be accepted, so new ones wait: "} + std::strerror(error));
    pause_accepting();
  }

  void pause_accepting() const {
    pollfd stopped{stop_event_.get(), POLLIN, 0};
    ::poll(&stopped, 1, accept_pause_ms);
  }

  // False if there was no memory for the connection, which is closed then.
  bool take_in_or_drop(Descriptor socket, const ListeningSocket& listening) {
    try {
      take_in(std::move(socket), listening.address().is_unix() ? nullptr : options_.tls);
      return true;
    } catch (const std::bad_alloc&) {
      ++figures_.out_of_memory;
      pause_accepting();
      return false;
    }
  }

  void take_in(Descriptor socket, const Tls* tls) {
    if (figures_.connections >= static_cast<std::int64_t>(options_.connections_max)) {
      return shed(socket.get(), tls);
    }
    TlsSession session;
    if (tls && !(session = tls->begin(socket.get()))) return;
    auto connection = std::make_unique<Connection>(std::move(socket), std::move(session));
    ++figures_.connections;
    try {
      loops_->next().adopt(std::move(connection));
    } catch (const std::bad_alloc&) {
      --figures_.connections;
      throw;
    }
  }

  // Over TLS an answer would need a handshake first, for which this thread has no time.
  void shed(int socket, const Tls* tls) {
    ++figures_.shed;
    if (!tls) {
      std::string text;
      const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
      append_answer(text, service_.refuse(503, "there are too many connections"),
                    {.keeps_alive = false}, http_date(now));
      ::send(socket, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      ::shutdown(socket, SHUT_WR);
      drain(socket);
    }
  }

  const ServerOptions options_;
  ServerFigures& figures_;
  Service& service_;
  ByteBudget budget_{options_.limits.buffered_bytes_max};
  const Descriptor stop_event_ = checked(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
  std::vector<std::unique_ptr<ListeningSocket>> listening_;
  std::optional<WorkerPool> workers_;
  std::optional<Loops> loops_;
};

std::size_t descriptors_of(const ServerOptions& options) {
  constexpr std::size_t of_loop = 2;  // what it polls with, and its inbox's event
  constexpr std::size_t of_server = 1;
  return of_server + of_loop * loops_of(options) + options.addresses.size();
}

Server::Server(ServerOptions options, ServerFigures& figures, Service& service)
    : impl_{std::make_unique<Impl>(std::move(options), figures, service)} {}

Server::~Server() = default;

std::vector<Address> Server::start() { return impl_->start(); }

void Server::serve() { impl_->serve(); }

void Server::stop() { impl_->stop(); }

}  // namespace credits::http
