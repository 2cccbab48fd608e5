#include "http/api/answer.hpp"

#include <stdexcept>
#include <string>
#include <utility>
#include <variant>

namespace credits::http {

namespace {

using actors::Refusal;

constexpr std::string_view retry_after_seconds = "1";  // on every 503

Problem problem_of(const actors::Refused& refused) {
  const std::string& value = refused.value;
  switch (refused.reason) {
    case Refusal::unknown_install:
      return unknown_install(value);
    case Refusal::unknown_tier:
      return unknown_tier(value);
    case Refusal::out_of_credits:
      return out_of_credits(value, refused.gone_tier);
    case Refusal::gemini_cap_exceeded_no_hardware:
      return gemini_cap_exceeded_no_hardware(value, refused.gone_tier);
    case Refusal::too_many_reservations:
      return too_many_reservations(actors::live_reservations_max);
    case Refusal::unknown_reservation:
      return unknown_reservation(value);
    case Refusal::reservation_expired:
      return reservation_expired(value);
    case Refusal::reservation_released:
      return reservation_released(value);
    case Refusal::reservation_settled:
      return reservation_settled(value);
    case Refusal::credits_exceed_hold:
      return invalid_request(
          "credits", "\"credits\" must be at most " + value + ", which the reservation holds");
    case Refusal::gemini_cap_exceeded:
      return gemini_cap_exceeded(value, refused.gone_tier);
    case Refusal::idempotency_key_reused:
      return idempotency_key_reused(value);
    case Refusal::counter_overflow:
      return counter_overflow(value);
  }
  throw std::logic_error{"a refusal without a problem"};
}

// The problem in the answer, if any.
std::optional<Problem> problem_of(const actors::Answer& answer, const Subject& subject) {
  if (const auto* refused = std::get_if<actors::Refused>(&answer)) return problem_of(*refused);
  if (std::holds_alternative<actors::Unavailable>(answer)) {
    const std::string detail = "the store failed; the server's log has the reason";
    return subject.is_read ? storage_unreadable(detail) : storage_unavailable(detail);
  }
  if (std::holds_alternative<actors::Damaged>(answer)) {
    return install_damaged(std::string{subject.install_id});
  }
  return std::nullopt;
}

}  // namespace

actors::Recorded record(const actors::Answer& answer) {
  if (const auto* recorded = std::get_if<actors::Recorded>(&answer)) return *recorded;
  if (const auto* plan = std::get_if<actors::PlanView>(&answer)) return {200, codec::encode(*plan)};
  if (const auto* reservation = std::get_if<actors::ReservationView>(&answer)) {
    return {201, codec::encode(*reservation)};
  }
  const auto& install = std::get<actors::InstallView>(answer);
  return {install.created ? 201 : 200, codec::encode(install)};
}

HttpResponse to_response(const Problem& problem) {
  HttpResponse response{problem.status(), "application/problem+json", codec::encode(problem)};
  response.problem = problem.kind;
  if (problem.challenge) response.headers.emplace_back("WWW-Authenticate", *problem.challenge);
  if (problem.status() == 503) response.headers.emplace_back("Retry-After", retry_after_seconds);
  return response;
}

HttpResponse to_response(const actors::Answer& answer, const Subject& subject) {
  if (const auto problem = problem_of(answer, subject)) return to_response(*problem);
  actors::Recorded recorded = record(answer);
  HttpResponse response{recorded.status, "application/json", std::move(recorded.body)};
  if (recorded.replayed) response.headers.emplace_back("Idempotency-Replayed", "true");
  return response;
}

codec::Result to_result(const actors::Answer& answer, const Subject& subject) {
  if (const auto problem = problem_of(answer, subject)) return to_result(*problem);
  actors::Recorded recorded = record(answer);
  return {recorded.status, std::move(recorded.body), {}, recorded.replayed};
}

codec::Result to_result(const Problem& problem) {
  return {problem.status(), codec::encode(problem), problem.kind, false};
}

}  // namespace credits::http
