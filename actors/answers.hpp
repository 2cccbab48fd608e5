// Where the answers to the operations of one request from outside are gathered: one place for each,
// filled by who judges, and read when each has been given. The operations alone keep it: if they
// are dropped instead, with an actor or a message, whoever waits is told at once.
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

class Answers {
 public:
  explicit Answers(std::size_t count)
      : answers_(count), failed_(count > 1 ? count : 0), missing_{count} {}

  // Ready when every place is given; throws std::future_error if that cannot come to be. Once.
  std::future<std::vector<Answer>> all() { return all_.get_future(); }

  // Puts an answer into its place, where another may still replace it.
  void put(std::size_t place, Answer answer) { answers_[place] = std::move(answer); }

  // Says that one more answer stands: once for each place, on any thread.
  void give() {
    if (missing_.fetch_sub(1, std::memory_order_acq_rel) == 1) all_.set_value(std::move(answers_));
  }

  // Says that the operation may have been done. Only the install's own actor calls this and the
  // next for its operations.
  void fail(std::size_t place, std::string reason) {
    if (!failed_.empty()) failed_[place] = 1;
    put(place, Unavailable{std::move(reason)});
    give();
  }

  // Precondition: there is more than one place.
  bool has_failed(std::size_t place) const { return failed_[place] != 0; }

 private:
  std::vector<Answer> answers_;
  std::vector<char> failed_;  // empty where there is but one place
  std::atomic<std::size_t> missing_;
  std::promise<std::vector<Answer>> all_;
};

}  // namespace credits::actors
