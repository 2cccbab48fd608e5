// Serves connections on one thread, from their handshakes to their ends: whatever one of them waits
// for, it takes no thread meanwhile, and the answers of one durable write wake one thread instead
// of one for each.
#pragma once

#include <memory>

#include "http/server/session.hpp"

namespace credits::http {

class EventLoop {
 public:
  // All of it must outlive the loop.
  EventLoop(const SessionLimits& limits, Service& service, ServerFigures& figures,
            WorkerPool& workers);
  // Only after join().
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Any thread. The figures count the connection already, and no longer once it has ended.
  void adopt(std::unique_ptr<Connection> connection);

  // Answers what has come or is on its way, and ends. Any thread.
  void end();

  // After end(): returns when every connection has ended.
  void join();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace credits::http
