#include "http/codec/problem.hpp"

#include <array>
#include <utility>

#include "actors/base/text.hpp"
#include "actors/ledger/row.hpp"

namespace credits::http {

namespace {

struct Row {
  ProblemKind kind;
  ProblemType type;
};

using Kind = ProblemKind;

constexpr std::array<Row, problem_kinds> table{{
    {Kind::bad_request, {400, "bad_request", "The request is not valid HTTP"}},
    {Kind::expectation_failed, {417, "expectation_failed", "The expectation cannot be met"}},
    {Kind::headers_too_large, {431, "headers_too_large", "The headers are too large"}},
    {Kind::not_implemented, {501, "not_implemented", "This server does not implement that"}},
    {Kind::http_version_not_supported,
     {505, "http_version_not_supported", "This server speaks HTTP/1.1"}},
    {Kind::payload_too_large, {413, "payload_too_large", "The body is too large"}},
    {Kind::uri_too_long, {414, "uri_too_long", "The request target is too long"}},
    {Kind::unsupported_media_type,
     {415, "unsupported_media_type", "The server does not accept this type of body"}},
    {Kind::not_found, {404, "not_found", "There is nothing at this path"}},
    {Kind::method_not_allowed,
     {405, "method_not_allowed", "The resource does not accept this method"}},
    {Kind::unauthorized, {401, "unauthorized", "The call needs a valid token"}},
    {Kind::forbidden, {403, "forbidden", "The sender may not make this call"}},
    {Kind::invalid_json, {400, "invalid_json", "The body is not JSON"}},
    {Kind::invalid_install_id, {400, "invalid_install_id", "The install id is not valid"}},
    {Kind::invalid_idempotency_key,
     {400, "invalid_idempotency_key", "The idempotency key is not valid"}},
    {Kind::invalid_request, {422, "invalid_request", "A field of the request is not valid"}},
    {Kind::unknown_tier, {422, "unknown_tier", "The quota has no such tier"}},
    {Kind::unknown_install, {404, "unknown_install", "The ledger has no such install"}},
    {Kind::unknown_reservation,
     {404, "unknown_reservation", "The install has no such reservation"}},
    {Kind::out_of_credits, {402, "out_of_credits", "The install has too few credits left"}},
    {Kind::gemini_cap_exceeded_no_hardware,
     {402, "gemini_cap_exceeded_no_hardware",
      "The Gemini cap leaves too little, and there is no hardware"}},
    {Kind::gemini_cap_exceeded, {409, "gemini_cap_exceeded", "The Gemini cap leaves too little"}},
    {Kind::counter_overflow, {409, "counter_overflow", "The counter has no room"}},
    {Kind::idempotency_key_reused,
     {422, "idempotency_key_reused", "The idempotency key belongs to another request"}},
    {Kind::too_many_reservations,
     {429, "too_many_reservations", "The install has too many live reservations"}},
    {Kind::reservation_expired, {410, "reservation_expired", "The reservation has expired"}},
    {Kind::reservation_released,
     {409, "reservation_released", "The reservation has been released"}},
    {Kind::reservation_settled, {409, "reservation_settled", "The reservation has been settled"}},
    {Kind::ledger_not_empty, {409, "ledger_not_empty", "An import needs an empty ledger"}},
    {Kind::precondition_failed,
     {412, "precondition_failed", "The quota does not meet the request's precondition"}},
    {Kind::overloaded, {503, "overloaded", "The server is overloaded; the request had no effect"}},
    {Kind::storage_unavailable,
     {503, "storage_unavailable", "The store did not confirm; the request may have taken effect"}},
    {Kind::storage_unreadable, {503, "storage_unavailable", "The store cannot be read now"}},
    {Kind::storage_not_writable, {503, "storage_unavailable", "The store rejects writes"}},
    {Kind::storage_damaged,
     {500, "storage_damaged", "The ledger is damaged where the request needs it"}},
    {Kind::internal_error, {500, "internal_error", "The service failed"}},
}};

constexpr bool is_in_order() {
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (table[i].kind != static_cast<ProblemKind>(i)) return false;
  }
  return true;
}
static_assert(is_in_order());

std::string in_place_of(const std::optional<std::string>& gone_tier) {
  if (!gone_tier) return "";
  return "; it applies in place of tier \"" + base::printable(*gone_tier) +
         "\", which the quota no longer has";
}

}  // namespace

const ProblemType& type_of(ProblemKind kind) { return table[static_cast<std::size_t>(kind)].type; }

Problem bad_request(std::string detail) { return {Kind::bad_request, std::move(detail)}; }

Problem invalid_json(std::string detail) { return {Kind::invalid_json, std::move(detail)}; }

Problem invalid_install_id(std::string detail) {
  return {Kind::invalid_install_id, std::move(detail), "install_id"};
}

Problem invalid_request(std::optional<std::string> field, std::string detail) {
  return {Kind::invalid_request, std::move(detail), std::move(field)};
}

Problem unknown_tier(const std::string& tier) {
  return {Kind::unknown_tier, "tier \"" + base::printable(tier) + "\" is not in the quota", "tier"};
}

Problem unknown_install(const std::string& install_id) {
  return {Kind::unknown_install, "install \"" + install_id + "\" has never been seen"};
}

Problem invalid_idempotency_key(std::string detail) {
  return {Kind::invalid_idempotency_key, std::move(detail), "idempotency_key"};
}

Problem out_of_credits(const std::string& tier, const std::optional<std::string>& gone_tier) {
  return {Kind::out_of_credits, "tier \"" + base::printable(tier) +
                                    "\" has fewer credits left than were asked for" +
                                    in_place_of(gone_tier)};
}

Problem gemini_cap_exceeded_no_hardware(const std::string& tier,
                                        const std::optional<std::string>& gone_tier) {
  return {Kind::gemini_cap_exceeded_no_hardware,
          "the Gemini cap of tier \"" + base::printable(tier) +
              "\" leaves fewer credits than were asked for" + in_place_of(gone_tier)};
}

Problem too_many_reservations(std::size_t reservations_max) {
  return {Kind::too_many_reservations,
          "an install may have " + std::to_string(reservations_max) +
              " live reservations; settle or release some, or wait until they expire"};
}

Problem unknown_reservation(const std::string& reservation_id) {
  return {Kind::unknown_reservation,
          "this install has no reservation \"" + base::printable(reservation_id) + "\""};
}

Problem reservation_expired(const std::string& reservation_id) {
  return {Kind::reservation_expired,
          "reservation \"" + reservation_id +
              "\" has expired and holds nothing; send a commit with its id as the idempotency key"};
}

Problem reservation_released(const std::string& reservation_id) {
  return {Kind::reservation_released,
          "reservation \"" + reservation_id + "\" has been released and holds nothing"};
}

Problem reservation_settled(const std::string& reservation_id) {
  return {Kind::reservation_settled, "reservation \"" + reservation_id + "\" has been settled"};
}

Problem gemini_cap_exceeded(const std::string& tier, const std::optional<std::string>& gone_tier) {
  return {Kind::gemini_cap_exceeded,
          "the Gemini cap of tier \"" + base::printable(tier) +
              "\" has no room for these credits; settle on the backend that was reserved" +
              in_place_of(gone_tier),
          "backend"};
}

Problem counter_overflow(const std::string& window) {
  return {Kind::counter_overflow,
          "the " + window + " counter, including its holds, would exceed " +
              std::to_string(ledger::counter_max),
          "credits"};
}

Problem idempotency_key_reused(const std::string& key) {
  return {Kind::idempotency_key_reused,
          "key \"" + key + "\" was used before, for a request with other fields",
          "idempotency_key"};
}

Problem not_found(const std::string& path) {
  return {Kind::not_found, "no resource at " + base::printable(path)};
}

Problem method_not_allowed(const std::string& method, const std::string& path) {
  return {Kind::method_not_allowed, base::printable(path) + " does not accept " +
                                        base::printable(method) +
                                        "; the Allow header lists its methods"};
}

Problem unknown_method(const std::string& method) {
  return {Kind::not_implemented, "this server does not know the method " + base::printable(method)};
}

Problem precondition_failed(std::string detail) {
  return {Kind::precondition_failed, std::move(detail)};
}

Problem of_transport(int status, std::string detail) {
  switch (status) {
    case 413:
      return {Kind::payload_too_large, std::move(detail)};
    case 414:
      return {Kind::uri_too_long, std::move(detail)};
    case 415:
      return {Kind::unsupported_media_type, std::move(detail)};
    case 417:
      return {Kind::expectation_failed, std::move(detail)};
    case 431:
      return {Kind::headers_too_large, std::move(detail)};
    case 500:
      return internal_error();
    case 501:
      return {Kind::not_implemented, std::move(detail)};
    case 503:
      return overloaded(std::move(detail));
    case 505:
      return {Kind::http_version_not_supported, std::move(detail)};
    default:
      return bad_request(std::move(detail));
  }
}

Problem overloaded(std::string detail) { return {Kind::overloaded, std::move(detail)}; }

Problem storage_unavailable(std::string detail) {
  return {Kind::storage_unavailable, std::move(detail)};
}

Problem storage_unreadable(std::string detail) {
  return {Kind::storage_unreadable, std::move(detail)};
}

Problem storage_not_writable(std::string detail) {
  return {Kind::storage_not_writable, std::move(detail)};
}

Problem install_damaged(const std::string& install_id) {
  return storage_damaged("the record of install \"" + install_id + "\" is damaged");
}

Problem storage_damaged(const std::string& found) {
  return {Kind::storage_damaged, found +
                                     "; the request had no effect, and other installs are "
                                     "unaffected: run `creditsctl check`, and "
                                     "restore the ledger from a backup"};
}

Problem internal_error() { return {Kind::internal_error, "the service's log has the reason"}; }

Problem unauthorized(std::string detail, bool has_token) {
  Problem problem{Kind::unauthorized, std::move(detail)};
  problem.challenge = has_token ? R"(Bearer error="invalid_token")" : "Bearer";
  return problem;
}

Problem forbidden(std::string detail) { return {Kind::forbidden, std::move(detail)}; }

Problem ledger_not_empty(std::uint64_t installs) {
  return {Kind::ledger_not_empty,
          "the ledger has " + std::to_string(installs) + " installs; nothing was imported"};
}

void refuse_if(const std::optional<std::string>& fault, Problem (*problem_of)(std::string)) {
  if (fault) throw ProblemError{problem_of(*fault)};
}

}  // namespace credits::http
