// Serves connections on one thread, from the handshake to the end. A waiting connection occupies no
// thread, and the answers of one durable write wake one thread instead of one per answer.
#pragma once

#include <memory>

#include "http/server/session.hpp"

namespace credits::http {

class EventLoop {
 public:
  // All of it must outlive the loop. Throws std::system_error if the system has no descriptors,
  // memory or thread for it.
  EventLoop(const SessionLimits& limits, Service& service, ServerFigures& figures,
            WorkerPool& workers, ByteBudget& budget);
  // Only after join().
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Takes over a connection. The caller has counted it in `figures.connections`; the loop subtracts
  // it when it ends. Any thread.
  void adopt(std::unique_ptr<Connection> connection);

  // Begins the shutdown: requests that have arrived or are on their way are still answered. Any
  // thread.
  void end();

  // After end(): returns when every connection has ended.
  void join();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace credits::http
