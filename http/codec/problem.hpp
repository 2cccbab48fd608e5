// Every error that this service returns, as RFC 9457 application/problem+json. One table pairs each
// kind with its status, code and title; the functions below write the detail.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace credits::http {

enum class ProblemKind : std::uint8_t {
  bad_request,
  expectation_failed,
  headers_too_large,
  not_implemented,
  http_version_not_supported,
  payload_too_large,
  uri_too_long,
  unsupported_media_type,
  not_found,
  method_not_allowed,
  unauthorized,
  forbidden,
  invalid_json,
  invalid_install_id,
  invalid_idempotency_key,
  invalid_request,
  unknown_tier,
  unknown_install,
  unknown_reservation,
  out_of_credits,
  gemini_cap_exceeded_no_hardware,
  gemini_cap_exceeded,
  counter_overflow,
  idempotency_key_reused,
  too_many_reservations,
  reservation_expired,
  reservation_released,
  reservation_settled,
  ledger_not_empty,
  precondition_failed,
  overloaded,
  storage_unavailable,   // answers requests that may change something
  storage_unreadable,    // answers those that change nothing: the same code
  storage_not_writable,  // answers readiness probes: the same code
  storage_damaged,
  internal_error,
};

inline constexpr std::size_t problem_kinds =
    static_cast<std::size_t>(ProblemKind::internal_error) + 1;

// What all problems of a kind share.
struct ProblemType {
  int status;
  std::string_view code;   // stable, for programs
  std::string_view title;  // for people
};

const ProblemType& type_of(ProblemKind kind);

struct Problem {
  ProblemKind kind = ProblemKind::internal_error;
  std::string detail{};                    // for people: names the value at fault and its fault
  std::optional<std::string> field{};      // the one field at fault
  std::optional<std::string> challenge{};  // WWW-Authenticate, on every 401

  int status() const { return type_of(kind).status; }
  std::string_view code() const { return type_of(kind).code; }
  std::string_view title() const { return type_of(kind).title; }
};

// Ends the handling of a request; the API answers with the problem.
class ProblemError : public std::runtime_error {
 public:
  explicit ProblemError(Problem problem)
      : std::runtime_error{problem.detail}, problem_{std::move(problem)} {}

  const Problem& problem() const { return problem_; }

 private:
  Problem problem_;
};

Problem bad_request(std::string detail);
Problem invalid_json(std::string detail);
Problem invalid_install_id(std::string detail);
Problem invalid_request(std::optional<std::string> field, std::string detail);
Problem unknown_tier(const std::string& tier);
Problem unknown_install(const std::string& install_id);
Problem invalid_idempotency_key(std::string detail);
// `tier` is the tier that was applied; `gone_tier` is the install's or hold's own, if the quota no
// longer has that one.
Problem out_of_credits(const std::string& tier, const std::optional<std::string>& gone_tier);
Problem gemini_cap_exceeded_no_hardware(const std::string& tier,
                                        const std::optional<std::string>& gone_tier);
Problem too_many_reservations(std::size_t reservations_max);
Problem unknown_reservation(const std::string& reservation_id);
Problem reservation_expired(const std::string& reservation_id);
Problem reservation_released(const std::string& reservation_id);
Problem reservation_settled(const std::string& reservation_id);
Problem gemini_cap_exceeded(const std::string& tier, const std::optional<std::string>& gone_tier);
// `window` is `lifetime` or `monthly`.
Problem counter_overflow(const std::string& window);
Problem idempotency_key_reused(const std::string& key);
Problem not_found(const std::string& path);
Problem method_not_allowed(const std::string& method, const std::string& path);
// This server knows the method for no path.
Problem unknown_method(const std::string& method);
// The quota is not one that `If-Match` names, or is one that `If-None-Match` names.
Problem precondition_failed(std::string detail);
// For a request that the transport refuses; see Service::refuse().
Problem of_transport(int status, std::string detail);
Problem overloaded(std::string detail);
Problem storage_unavailable(std::string detail);
Problem storage_unreadable(std::string detail);
Problem storage_not_writable(std::string detail);
// The damage is in the install's record, or as `found` describes it.
Problem install_damaged(const std::string& install_id);
Problem storage_damaged(const std::string& found);
Problem internal_error();
Problem unauthorized(std::string detail, bool has_token);
Problem forbidden(std::string detail);
Problem ledger_not_empty(std::uint64_t installs);

// Throws the problem that `problem_of` makes of `fault`, if there is one.
void refuse_if(const std::optional<std::string>& fault, Problem (*problem_of)(std::string));

}  // namespace credits::http
