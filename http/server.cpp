#include "http/server.hpp"

#include <fcntl.h>
#include <httplib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "http/event_loop.hpp"
#include "http/problem.hpp"

namespace credits::http {

namespace {

std::size_t loops_of(const ServerOptions& options) {
  if (options.loops > 0) return options.loops;
  return std::max(1U, std::thread::hardware_concurrency());
}

}  // namespace

// The library's accepting thread does each task itself: a connection is only given away.
class AcceptingThread : public httplib::TaskQueue {
 public:
  // The library changed this result from nothing to bool between Debian 12 and 13.
  using Enqueued = decltype(std::declval<httplib::TaskQueue&>().enqueue(std::function<void()>{}));

  Enqueued enqueue(std::function<void()> task) override {
    task();
    return static_cast<Enqueued>(true);
  }

  void shutdown() override {}
};

// Of the library, its listening socket and its loop around accept().
class Server::Impl : public httplib::Server {
 public:
  Impl(ServerOptions options, HttpFigures& figures, Service& service)
      : options_{std::move(options)}, figures_{figures}, service_{service} {
    new_task_queue = [] { return new AcceptingThread; };
    set_tcp_nodelay(true);
    set_socket_options([](socket_t socket) {
      // The library's SO_REUSEPORT would let two servers share a port without a word.
      const int on = 1;
      ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    });
  }

  int bind() {
    const int port = options_.port == 0                           ? bind_to_any_port(options_.host)
                     : bind_to_port(options_.host, options_.port) ? options_.port
                                                                  : -1;
    if (port > 0) {
      ::listen(svr_sock_, SOMAXCONN);  // the library asks for 5
      return port;
    }
    throw std::runtime_error{"cannot listen on " + options_.host + ":" +
                             std::to_string(options_.port) + ": " + std::strerror(errno) +
                             "; choose another address with --listen"};
  }

  void serve() {
    WorkerPool workers{options_.workers, options_.calls_waiting_max};
    for (std::size_t i = 0; i < loops_of(options_); ++i) {
      loops_.push_back(std::make_unique<EventLoop>(options_.limits, service_, figures_, workers));
    }
    listen_after_bind();
    for (const auto& loop : loops_) loop->end();
    for (const auto& loop : loops_) loop->join();
    loops_.clear();
    if (!stop_requested_) throw std::runtime_error{"the listening socket failed"};
  }

  // The library's own stop() does nothing before serve() has come to its loop. A socket that is
  // shut down fails at the next accept, whenever that is.
  void request_stop() {
    if (stop_requested_.exchange(true)) return;
    ::shutdown(svr_sock_, SHUT_RDWR);
  }

 private:
  // Called by the library's accepting thread.
  bool process_and_close_socket(socket_t socket) override {
    if (figures_.connections >= static_cast<std::int64_t>(options_.connections_max)) {
      shed(socket);
      return false;
    }
    ::fcntl(socket, F_SETFL, ::fcntl(socket, F_GETFL) | O_NONBLOCK);
    TlsSession session;
    if (options_.tls && !(session = options_.tls->begin(socket))) {
      ::close(socket);
      return false;
    }
    ++figures_.connections;
    loops_[next_loop_++ % loops_.size()]->adopt(
        std::make_unique<Connection>(socket, std::move(session)));
    return true;
  }

  // Over TLS there would have to be a handshake first, for which this thread has no time.
  void shed(socket_t socket) {
    ++figures_.shed;
    if (!options_.tls) {
      std::string text;
      const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
      append_answer(text, to_response(overloaded("there are too many connections")),
                    {.goes_on = false}, http_date(now));
      ::send(socket, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      ::shutdown(socket, SHUT_WR);
    }
    ::close(socket);
  }

  const ServerOptions options_;
  HttpFigures& figures_;
  Service& service_;
  std::vector<std::unique_ptr<EventLoop>> loops_;
  std::size_t next_loop_ = 0;
  std::atomic<bool> stop_requested_{false};  // none is to be accepted any more
};

Server::Server(ServerOptions options, HttpFigures& figures, Service& service)
    : impl_{std::make_unique<Impl>(std::move(options), figures, service)} {}

Server::~Server() = default;

int Server::bind() { return impl_->bind(); }

void Server::serve() { impl_->serve(); }

void Server::stop() { impl_->request_stop(); }

}  // namespace credits::http
