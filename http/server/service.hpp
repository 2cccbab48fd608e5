// The interface between the transport and the service behind it. Requests complete asynchronously;
// the thread that begins one never blocks on it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <variant>

#include "http/server/message.hpp"

namespace credits::http {

// Notified, on any thread, that a pending answer is ready. ready() must not block.
class Listener {
 public:
  virtual ~Listener() = default;
  virtual void ready() = 0;
};

// The answer to a request that has begun, and may not be answered yet.
class PendingAnswer {
 public:
  virtual ~PendingAnswer() = default;
  virtual bool is_ready() const = 0;
  // The caller waits no longer than this.
  virtual std::chrono::steady_clock::time_point deadline() const = 0;
  // The answer; if it is not ready, one that says that there was none in time. Call once.
  virtual HttpResponse take() = 0;
};

// Thread-safe.
class Service {
 public:
  using Begun = std::variant<HttpResponse, std::shared_ptr<PendingAnswer>>;

  virtual ~Service() = default;

  // Finds the call, and decides about the request before its body is read.
  virtual Admission admit(const HttpRequest& request) = 0;

  // The answer to a request that the transport refuses, as invalid or too large, or because of
  // overload (`status` 503) or an internal error (500).
  virtual HttpResponse refuse(int status, std::string detail) = 0;

  // The answer to a request whose call has thrown `error`. Reports the error to the operator.
  virtual HttpResponse failed(const std::exception& error) = 0;

  // Returns the answer, or a pending one that will notify `listener`. Blocks only if the admission
  // was not prompt.
  virtual Begun begin(const HttpRequest& request, const Admission& admission,
                      const std::shared_ptr<Listener>& listener) = 0;
};

// Lets a thread wait until an answer is ready.
class BlockingListener : public Listener {
 public:
  void ready() override {
    const std::lock_guard lock{mutex_};
    is_ready_ = true;
    changed_.notify_all();
  }

  void wait_until(std::chrono::steady_clock::time_point deadline) {
    std::unique_lock lock{mutex_};
    changed_.wait_until(lock, deadline, [this] { return is_ready_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_ready_ = false;  // guarded by mutex_
};

// Begins the request, and waits for its answer.
inline HttpResponse answer_of(Service& service, const HttpRequest& request,
                              const Admission& admission) {
  const auto listener = std::make_shared<BlockingListener>();
  Service::Begun begun = service.begin(request, admission, listener);
  if (auto* response = std::get_if<HttpResponse>(&begun)) return std::move(*response);
  PendingAnswer& pending = *std::get<std::shared_ptr<PendingAnswer>>(begun);
  listener->wait_until(pending.deadline());
  return pending.take();
}

}  // namespace credits::http
