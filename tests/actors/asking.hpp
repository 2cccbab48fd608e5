// Turns one operation into a request to the actors and a future of its answer.
#pragma once

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "actors/interfaces.hpp"

namespace credits::tests {

class PendingAnswer {
 public:
  explicit PendingAnswer(std::future<std::vector<actors::Answer>> all) : all_{std::move(all)} {}

  // Throws StoreError: `unavailable` if the operation's outcome is unknown, `damaged` if its
  // install is damaged.
  actors::Answer get() {
    actors::Answer answer = all_.get().front();
    const auto* unavailable = std::get_if<actors::Unavailable>(&answer);
    if (unavailable)
      throw persistence::StoreError{persistence::StoreErrorKind::unavailable, unavailable->reason};
    const auto* damaged = std::get_if<actors::Damaged>(&answer);
    if (damaged)
      throw persistence::StoreError{persistence::StoreErrorKind::damaged, damaged->reason};
    return answer;
  }

  void wait() { all_.wait(); }

  std::future_status wait_for(std::chrono::milliseconds time) const { return all_.wait_for(time); }

 private:
  std::future<std::vector<actors::Answer>> all_;
};

inline bool is_answered(const PendingAnswer& answer) {
  return answer.wait_for(std::chrono::milliseconds{0}) == std::future_status::ready;
}

struct Question {
  actors::Request request;
  PendingAnswer answer;
};

inline Question question_of(actors::Operation operation) {
  const auto completion = std::make_shared<actors::WaitingCompletion>();
  PendingAnswer answer{completion->answers()};
  auto answers = std::make_shared<actors::Answers>(1, completion);
  return {{std::move(operation), std::move(answers)}, std::move(answer)};
}

inline std::string spell(const ledger::Balance& balance) {
  return std::to_string(balance.remaining.value_or(-1)) + " " +
         std::to_string(balance.gemini_remaining.value_or(-1)) + " " + std::to_string(balance.held);
}

// Encodes an answer for keeping, in a form that tests can read; clients get another.
inline actors::Recorded record(const actors::Answer& answer) {
  if (const auto* view = std::get_if<actors::ReservationView>(&answer)) {
    return {201, view->reservation.id + " " + std::to_string(view->reservation.credits) + " " +
                     spell(view->balance)};
  }
  const auto& view = std::get<actors::InstallView>(answer);
  return {200, std::to_string(view.row.version) + " " + spell(view.balance)};
}

}  // namespace credits::tests
