// Serves connections on one thread: those that wait for a request, those whose request has come
// whole, and those whose answer is on its way. So an idle connection takes no thread, a request
// that waits for the disk parks none, and the answers of one durable write wake one thread instead
// of one for each.
//
// Whatever may have to be waited for on the connection itself, a request that comes in pieces or a
// call that takes long, is handed over to a thread of its own, and comes back after.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "http/connection.hpp"
#include "http/service.hpp"

namespace credits::http {

// What became of a request.
struct Processed {
  bool goes_on = false;                // the connection, after the answer
  std::optional<HttpResponse> done{};  // the answer, if it is there
  std::shared_ptr<Ongoing> ongoing{};  // that which will give it, else
  bool head_only = false;              // the answer is to have no body
};

// Who owns a loop. Called on the loop's thread.
class LoopOwner {
 public:
  virtual ~LoopOwner() = default;
  virtual bool can_be_prompt(std::string_view unread) const = 0;
  virtual Processed process(Connection& connection, const std::shared_ptr<Listener>& listener) = 0;
  virtual std::string text_of(const HttpResponse& response, const Processed& processed) const = 0;
  // A request is there in part, or cannot be prompt.
  virtual void hand_over(std::unique_ptr<Connection> connection) = 0;
  // All has been sent; it is to be closed so that the client can read that.
  virtual void finish(std::unique_ptr<Connection> connection) = 0;
};

class EventLoop {
 public:
  // `owner` and `limits` must outlive it.
  EventLoop(LoopOwner& owner, const ConnectionLimits& limits);
  // Only after join().
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Any thread.
  void adopt(std::unique_ptr<Connection> connection);

  // Answers what has come whole or is on its way, and ends. Any thread.
  void end();

  // After end(): returns when every connection has ended, or has been handed over.
  void join();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace credits::http
