// The HTTP/1.1 server: accepts connections and hands them to its event loops.
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
  std::size_t calls_waiting_max = 256;   // for a worker; beyond: 503
  SessionLimits limits{};
  const Tls* tls = nullptr;  // null: plain HTTP. Unix sockets are always plain
  // Reports trouble to the operator: an event's stable name for programs, and a text for people.
  // Called on the thread of serve().
  std::function<void(std::string_view name, const std::string& text)> report =
      [](std::string_view, const std::string&) {};
};

// The number of descriptors that a server needs besides those of its connections.
std::size_t descriptors_of(const ServerOptions& options);

class Server {
 public:
  // `figures`, `service` and the Tls of the options must outlive it.
  Server(ServerOptions options, ServerFigures& figures, Service& service);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Listens on the addresses and starts the threads. Returns the addresses, each with its actual
  // port. Throws std::runtime_error with the reason if an address is not available,
  // std::system_error if a thread cannot be started or lacks a descriptor; the server can then only
  // be destroyed, which releases its addresses.
  std::vector<Address> start();

  // Serves until stop() is called and every request under way is answered. Throws
  // std::runtime_error if a listening socket fails for good.
  void serve();

  // Any thread. After a stop() before it, serve() returns at once.
  void stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace credits::http
