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
  int status = 0;  // 0: there was none
  std::string body{};
  std::string failure{};  // why there was none
  bool was_sent = true;
};

class Driver {
 public:
  // Called when a request was answered, or will not be. Returns whether `next` is to be sent after
  // it at once.
  using Answered = std::function<bool(const Request& request, const Answer& answer,
                                      Clock::time_point intended, Request& next)>;

  // Throws creditsctl::Failure if so many connections cannot be had.
  Driver(const Settings& settings, Answered answered);
  ~Driver();
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  // Opens the idle connections. Throws creditsctl::Failure if nobody answers there.
  void connect();

  // Sends what `next` gives until `end`, and waits for the answers. What is due by then and could
  // not be sent when the timeout is over, too, is not sent. Calls `tick` about ten times a second.
  void run(Clock::time_point end, const std::function<Request()>& next,
           const std::function<void()>& tick);

  // The body of the answer. Throws creditsctl::Failure if it is not a 200.
  std::string post(const std::string& target, const std::string& body);

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace credits::creditsload
