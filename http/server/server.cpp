#include "http/server/server.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "http/server/event_loop.hpp"
#include "http/server/listening_socket.hpp"

namespace credits::http {

namespace {

// Connections accepted on one address before the others have their turn.
constexpr int accepts_in_a_row = 32;

// Gives the operating system time to free files or memory.
constexpr int accept_pause_ms = 100;

std::size_t loops_of(const ServerOptions& options) {
  if (options.loops > 0) return options.loops;
  return std::max(1U, std::thread::hardware_concurrency());
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
      : options_{std::move(options)}, figures_{figures}, service_{service} {
    if (stop_event_ < 0) throw std::system_error{errno, std::generic_category(), "eventfd"};
  }
  ~Impl() { ::close(stop_event_); }
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

  void stop() const { ::eventfd_write(stop_event_, 1); }

 private:
  void start_threads() {
    workers_.emplace(options_.workers, options_.calls_waiting_max);
    loops_.emplace();
    for (std::size_t i = 0; i < loops_of(options_); ++i) {
      loops_->add(std::make_unique<EventLoop>(options_.limits, service_, figures_, *workers_));
    }
  }

  // Returns the error after which no connection can be accepted; 0 after stop().
  int accept_until_stopped() {
    std::vector<pollfd> watched{{stop_event_, POLLIN, 0}};
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
      const int socket =
          ::accept4(listening.descriptor(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (socket >= 0) {
        take_in(socket, listening.address().is_unix() ? nullptr : options_.tls);
        continue;
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
    pollfd stopped{stop_event_, POLLIN, 0};
    ::poll(&stopped, 1, accept_pause_ms);
  }

  void take_in(int socket, const Tls* tls) {
    if (figures_.connections >= static_cast<std::int64_t>(options_.connections_max)) {
      return shed(socket, tls);
    }
    TlsSession session;
    if (tls && !(session = tls->begin(socket))) {
      ::close(socket);
      return;
    }
    ++figures_.connections;
    loops_->next().adopt(std::make_unique<Connection>(socket, std::move(session)));
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
    }
    ::close(socket);
  }

  const ServerOptions options_;
  ServerFigures& figures_;
  Service& service_;
  const int stop_event_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  std::vector<std::unique_ptr<ListeningSocket>> listening_;
  std::optional<WorkerPool> workers_;
  std::optional<Loops> loops_;
};

Server::Server(ServerOptions options, ServerFigures& figures, Service& service)
    : impl_{std::make_unique<Impl>(std::move(options), figures, service)} {}

Server::~Server() = default;

std::vector<Address> Server::start() { return impl_->start(); }

void Server::serve() { impl_->serve(); }

void Server::stop() { impl_->stop(); }

}  // namespace credits::http
