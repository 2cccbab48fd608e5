// Sends requests over many connections from one thread: libcurl's multi interface on epoll.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "tools/creditsload/results.hpp"
#include "tools/creditsload/traffic.hpp"

namespace credits::creditsload {

struct Answer {
  int status = 0;  // 0: no answer
  std::string body{};
  std::string failure{};  // why there was no answer
  bool was_sent = true;
};

class Driver {
 public:
  // Called once a request is answered or has failed. Returns whether to send `next` at once.
  using Answered = std::function<bool(const Request& request, const Answer& answer,
                                      Clock::time_point intended, Request& next)>;

  // Throws creditsctl::Failure if the descriptor limit does not allow that many connections.
  Driver(const Settings& settings, Answered answered);
  ~Driver();
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  // Opens the idle connections. Throws creditsctl::Failure if the server does not answer.
  void connect();

  // Sends the requests that `next` returns until `end`, and waits for the answers. Gives up
  // requests that are due by `end` but still unsent a timeout later. Calls `tick` about ten times a
  // second.
  void run(Clock::time_point end, const std::function<Request()>& next,
           const std::function<void()>& tick);

  // Returns the answer's body. Throws creditsctl::Failure if its status is not 200.
  std::string post(const std::string& target, const std::string& body);

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace credits::creditsload
