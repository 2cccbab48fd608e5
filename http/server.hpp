// The HTTP/1.1 server: accepts connections and gives them to its event loops.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "http/figures.hpp"
#include "http/service.hpp"
#include "http/session.hpp"
#include "http/tls.hpp"

namespace credits::http {

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 0;                          // 0: any that is free
  std::size_t connections_max = 10'000;  // beyond: 503 at once
  std::size_t loops = 0;                 // 0: one for each core
  std::size_t workers = 8;               // threads for the calls that block
  std::size_t calls_waiting_max = 256;   // for one of them; beyond: 503
  SessionLimits limits{};
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
