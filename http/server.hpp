// The HTTP/1.1 server: connections, threads and limits. The only user of cpp-httplib in this room,
// together with connection.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "http/figures.hpp"
#include "http/service.hpp"
#include "http/tls.hpp"

namespace credits::http {

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 0;                                       // 0: any that is free
  std::size_t connections_max = 10'000;               // beyond: 503 at once
  std::chrono::milliseconds idle_timeout{60'000};     // a connection between two requests
  std::chrono::milliseconds request_timeout{30'000};  // from a request's first byte to its last
  std::chrono::milliseconds send_timeout{10'000};     // for a client that takes no byte
  std::chrono::milliseconds send_total_timeout{3'600'000};  // for an answer, taken steadily
  std::size_t head_bytes_max = 64 * 1024;
  std::chrono::milliseconds end_grace{100};  // for requests that are on their way at the end
  std::size_t target_bytes_max = 2'048;
  const Tls* tls = nullptr;  // none: plain HTTP
};

class Server {
 public:
  // `figures`, `service` and the Tls of the options must outlive it.
  Server(ServerOptions options, HttpFigures& figures, Service& service);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Takes the address. Returns the port. Throws std::runtime_error that says what is in the way.
  int bind();

  // Serves until stop() is called, and every request that is under way is answered. Throws
  // std::runtime_error if the operating system gives it no connections any more.
  void serve();

  // From any thread, after bind(); before serve() too, which then returns at once.
  void stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace credits::http
