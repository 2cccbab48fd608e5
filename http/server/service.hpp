// The interface between the transport and the service behind it. Requests complete asynchronously;
// the thread that begins one never blocks on it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <variant>

#include "http/server/message.hpp"

namespace credits::http {

// Is told, on any thread, that an ongoing request is ready. Must not block.
class Listener {
 public:
  virtual ~Listener() = default;
  virtual void ready() = 0;
};

// A request that has been begun, and is not answered yet.
class Ongoing {
 public:
  virtual ~Ongoing() = default;
  virtual bool is_ready() const = 0;
  // Nobody waits longer than until then.
  virtual std::chrono::steady_clock::time_point deadline() const = 0;
  // The answer; if it is not ready, that there was none in time. Once.
  virtual HttpResponse take() = 0;
};

// Any number of threads may use it at once.
class Service {
 public:
  using Begun = std::variant<HttpResponse, std::shared_ptr<Ongoing>>;

  virtual ~Service() = default;

  // Finds the call, and says what becomes of the request before its body is read.
  virtual Admission admit(const HttpRequest& request) = 0;

  // The answer to a request that the transport does not take: it is no valid HTTP, too large, or
  // more than the server can do now (`status` 503).
  virtual HttpResponse refuse(int status, std::string detail) = 0;

  // The answer, or a request that `listener` will be told of. Blocks only where the admission was
  // not prompt.
  virtual Begun begin(const HttpRequest& request, const Admission& admission,
                      const std::shared_ptr<Listener>& listener) = 0;
};

// A listener on a thread that can wait.
class Bell : public Listener {
 public:
  void ready() override {
    const std::lock_guard lock{mutex_};
    rung_ = true;
    changed_.notify_all();
  }

  void wait_until(std::chrono::steady_clock::time_point deadline) {
    std::unique_lock lock{mutex_};
    changed_.wait_until(lock, deadline, [this] { return rung_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool rung_ = false;  // guarded by mutex_
};

// The answer, however long it takes.
inline HttpResponse answer_of(Service& service, const HttpRequest& request,
                              const Admission& admission) {
  const auto bell = std::make_shared<Bell>();
  Service::Begun begun = service.begin(request, admission, bell);
  if (auto* response = std::get_if<HttpResponse>(&begun)) return std::move(*response);
  Ongoing& ongoing = *std::get<std::shared_ptr<Ongoing>>(begun);
  bell->wait_until(ongoing.deadline());
  return ongoing.take();
}

}  // namespace credits::http
