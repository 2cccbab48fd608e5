// Gathers the answers to the operations of one outside request: each operation has its result slot,
// and the completion gets them all once the last slot is filled. Only the operations own the
// Answers object: if they are destroyed unanswered, with an actor or a message, the completion is
// notified at once.
#pragma once

#include <atomic>
#include <cstddef>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "actors/base/assert.hpp"
#include "actors/operation.hpp"

namespace credits::actors {

// Receives the answers. Exactly one of these functions is called, once, on any thread. Actors call
// them, so they must not block.
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

  // Stores an answer in its slot. Until complete(), a later put() replaces it.
  void put(std::size_t place, Answer answer) {
    CREDITS_EXPECTS(place < answers_.size());
    answers_[place] = std::move(answer);
  }

  // Makes one more answer final: exactly once for each slot, on any thread.
  void complete() {
    const std::size_t missing = missing_.fetch_sub(1, std::memory_order_acq_rel);
    CREDITS_EXPECTS(missing > 0);
    if (missing == 1) completion_->answered(std::move(answers_));
  }

  // Completes an operation that was not judged or whose outcome is unknown; later operations on its
  // install are then not run. Only the install's own actor calls this and has_failed() for its
  // operations.
  void fail(std::size_t place, Answer answer) {
    put(place, std::move(answer));
    if (!failed_.empty()) failed_[place] = 1;
    complete();
  }

  // Precondition: there is more than one slot.
  bool has_failed(std::size_t place) const {
    CREDITS_EXPECTS(place < failed_.size());
    return failed_[place] != 0;
  }

 private:
  std::vector<Answer> answers_;
  std::vector<char> failed_;  // empty if there is only one slot
  std::atomic<std::size_t> missing_;
  const std::shared_ptr<Completion> completion_;
};

// A completion for a thread that can block.
class WaitingCompletion : public Completion {
 public:
  // The future throws std::future_error if the answers were dropped. May be called once.
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
