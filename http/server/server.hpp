// The HTTP/1.1 server: accepts connections and gives them to its event loops.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "http/server/address.hpp"
#include "http/server/figures.hpp"
#include "http/server/service.hpp"
#include "http/server/session.hpp"
#include "http/server/tls.hpp"

namespace credits::http {

struct ServerOptions {
  std::vector<Address> addresses{{.host = "127.0.0.1"}};
  mode_t socket_mode = 0660;             // of Unix sockets
  std::size_t connections_max = 10'000;  // at all addresses together; beyond: 503 at once
  std::size_t loops = 0;                 // 0: one for each core
  std::size_t workers = 8;               // threads for the calls that block
  std::size_t calls_waiting_max = 256;   // for one of them; beyond: 503
  SessionLimits limits{};
  const Tls* tls = nullptr;  // none: plain HTTP. Unix sockets are plain anyway
  // The operator; the thread that serves.
  // Reports trouble to the operator: a stable name for programs, and a text for people. Any thread.
  std::function<void(std::string_view name, const std::string& text)> report =
      [](std::string_view, const std::string&) {};
};

class Server {
 public:
  // `figures`, `service` and the Tls of the options must outlive it.
  Server(ServerOptions options, ServerFigures& figures, Service& service);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Takes the addresses and starts the threads. Returns the addresses, each with the port that was
  // taken. Throws std::runtime_error that says what is in the way, std::system_error if it cannot
  // have the threads; then it is only to be destroyed, which gives back what was taken.
  std::vector<Address> start();

  // Serves until stop() is called, and every request that is under way is answered. Throws
  // std::runtime_error if the operating system gives it no connections any more.
  void serve();

  // From any thread; before serve() too, which then returns at once.
  void stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace credits::http
