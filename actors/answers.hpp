// Where the answers to the operations of one request from outside are gathered: one place for each,
// filled by who judges, and handed to the asker when each has been given. The operations alone keep
// it: if they are dropped instead, with an actor or a message, the asker is told at once.
#pragma once

#include <atomic>
#include <cstddef>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "actors/operation.hpp"

namespace credits::actors {

// Who waits for answers. Is told one of these, once, on any thread: by an actor, so it must not
// block.
class Completion {
 public:
  virtual ~Completion() = default;
  virtual void answered(std::vector<Answer> answers) = 0;
  virtual void dropped() = 0;
};

class Answers {
 public:
  Answers(std::size_t count, std::shared_ptr<Completion> completion)
      : answers_(count),
        failed_(count > 1 ? count : 0),
        missing_{count},
        completion_{std::move(completion)} {}
  ~Answers() {
    if (missing_.load(std::memory_order_acquire) > 0) completion_->dropped();
  }
  Answers(const Answers&) = delete;
  Answers& operator=(const Answers&) = delete;

  // Puts an answer into its place, where another may still replace it.
  void put(std::size_t place, Answer answer) { answers_[place] = std::move(answer); }

  // Says that one more answer stands: once for each place, on any thread.
  void complete() {
    if (missing_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      completion_->answered(std::move(answers_));
    }
  }

  // Answers that the operation was not judged, or may have been done, so that what follows it on
  // its install is not run. Only the install's own actor calls this and the next for its
  // operations.
  void fail(std::size_t place, Answer answer) {
    if (!failed_.empty()) failed_[place] = 1;
    put(place, std::move(answer));
    complete();
  }

  // Precondition: there is more than one place.
  bool has_failed(std::size_t place) const { return failed_[place] != 0; }

 private:
  std::vector<Answer> answers_;
  std::vector<char> failed_;  // empty where there is but one place
  std::atomic<std::size_t> missing_;
  const std::shared_ptr<Completion> completion_;
};

// An asker on a thread that can wait.
class WaitingCompletion : public Completion {
 public:
  // Throws std::future_error if the answers were dropped. Once.
  std::future<std::vector<Answer>> answers() { return promise_.get_future(); }

  void answered(std::vector<Answer> answers) override { promise_.set_value(std::move(answers)); }
  void dropped() override {
    promise_.set_exception(
        std::make_exception_ptr(std::future_error{std::future_errc::broken_promise}));
  }

 private:
  std::promise<std::vector<Answer>> promise_;
};

}  // namespace credits::actors
