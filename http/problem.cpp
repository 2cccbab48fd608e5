#include "http/problem.hpp"

#include <utility>

#include "actors/ledger/row.hpp"
#include "http/codec/response.hpp"

namespace credits::http {

namespace {

constexpr std::chrono::seconds retry_after{1};
constexpr std::size_t printable_bytes_max = 200;

Problem denied(std::string code, std::string title, std::string detail) {
  Problem problem{402, code, std::move(title), std::move(detail)};
  problem.reason = std::move(code);
  return problem;
}

std::string in_place_of(const std::optional<std::string>& gone_tier) {
  if (!gone_tier) return "";
  return "; it judges in place of tier \"" + printable(*gone_tier) +
         "\", which the quota no longer has";
}

}  // namespace

std::string printable(std::string_view text) {
  static constexpr std::string_view digits = "0123456789ABCDEF";
  std::string result;
  for (const char c : text.substr(0, printable_bytes_max)) {
    if (c >= ' ' && c <= '~') {
      result += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      result += {'%', digits[byte / 16], digits[byte % 16]};
    }
  }
  return text.size() > printable_bytes_max ? result + "…" : result;
}

Problem bad_request(std::string detail) {
  return {400, "bad_request", "The request is not valid HTTP", std::move(detail)};
}

Problem invalid_json(std::string detail) {
  return {400, "invalid_json", "The body is not JSON", std::move(detail)};
}

Problem invalid_install_id(std::string detail) {
  return {400, "invalid_install_id", "The install id is not valid", std::move(detail),
          "install_id"};
}

Problem invalid_request(std::optional<std::string> field, std::string detail) {
  return {422, "invalid_request", "A field of the request is not valid", std::move(detail),
          std::move(field)};
}

Problem unknown_tier(const std::string& tier) {
  return {422, "unknown_tier", "The quota has no such tier",
          "tier \"" + printable(tier) + "\" is not in the quota", "tier"};
}

Problem unknown_install(const std::string& install_id) {
  return {404, "unknown_install", "The ledger has no such install",
          "install \"" + install_id + "\" has never been seen"};
}

Problem invalid_idempotency_key(std::string detail) {
  return {400, "invalid_idempotency_key", "The idempotency key is not valid", std::move(detail),
          "idempotency_key"};
}

Problem out_of_credits(const std::string& tier, const std::optional<std::string>& gone_tier) {
  return denied("out_of_credits", "The install has too few credits left",
                "tier \"" + printable(tier) + "\" has fewer credits left than were asked for" +
                    in_place_of(gone_tier));
}

Problem gemini_cap_exceeded_no_hardware(const std::string& tier,
                                        const std::optional<std::string>& gone_tier) {
  return denied("gemini_cap_exceeded_no_hardware",
                "The Gemini cap leaves too little, and there is no hardware",
                "the Gemini cap of tier \"" + printable(tier) +
                    "\" leaves fewer credits than were asked for" + in_place_of(gone_tier));
}

Problem too_many_reservations(std::size_t reservations_max) {
  return {429, "too_many_reservations", "The install has too many live reservations",
          "an install may have " + std::to_string(reservations_max) +
              " live reservations; settle or release some, or wait until they expire"};
}

Problem unknown_reservation(const std::string& reservation_id) {
  return {404, "unknown_reservation", "The install has no such reservation",
          "reservation \"" + printable(reservation_id) + "\" is not one of this install"};
}

Problem reservation_expired(const std::string& reservation_id) {
  return {410, "reservation_expired", "The reservation has expired",
          "reservation \"" + reservation_id +
              "\" has expired and holds nothing; commit with its id as the idempotency key"};
}

Problem reservation_released(const std::string& reservation_id) {
  return {409, "reservation_released", "The reservation has been released",
          "reservation \"" + reservation_id + "\" has been released and holds nothing"};
}

Problem reservation_settled(const std::string& reservation_id) {
  return {409, "reservation_settled", "The reservation has been settled",
          "reservation \"" + reservation_id + "\" has been settled"};
}

Problem gemini_cap_exceeded(const std::string& tier, const std::optional<std::string>& gone_tier) {
  return {409, "gemini_cap_exceeded", "The Gemini cap leaves too little",
          "the Gemini cap of tier \"" + printable(tier) +
              "\" has no room for these credits; settle on the backend that was reserved" +
              in_place_of(gone_tier),
          "backend"};
}

Problem counter_overflow(const std::string& window) {
  return {409, "counter_overflow", "The counter has no room",
          "the " + window + " counter would pass " + std::to_string(ledger::counter_max) +
              ", with what is held in it",
          "credits"};
}

Problem idempotency_key_reused(const std::string& key) {
  return {422, "idempotency_key_reused", "The idempotency key belongs to another request",
          "key \"" + key + "\" was used before, for a request with other fields",
          "idempotency_key"};
}

Problem not_found(const std::string& path) {
  return {404, "not_found", "There is nothing at this path", "no resource at " + printable(path)};
}

Problem method_not_allowed(const std::string& method, const std::string& path) {
  return {405, "method_not_allowed", "The resource does not take this method",
          printable(path) + " does not take " + printable(method) +
              "; the Allow header lists what it takes"};
}

Problem unknown_method(const std::string& method) {
  return {501, "not_implemented", "This server does not do that",
          "the method " + printable(method) + " is not one that this server knows"};
}

Problem payload_too_large(std::size_t bytes_max) {
  return {413, "payload_too_large", "The body is too large",
          "the body may have " + std::to_string(bytes_max) + " bytes at most"};
}

Problem uri_too_long(std::size_t bytes_max) {
  return {414, "uri_too_long", "The request target is too long",
          "the request target may have " + std::to_string(bytes_max) + " bytes at most"};
}

Problem unsupported_media_type(const std::string& content_type) {
  return {415, "unsupported_media_type", "The body must be application/json",
          "Content-Type \"" + printable(content_type) + "\" is not application/json"};
}

Problem unsupported_content_encoding(const std::string& encoding) {
  return {415, "unsupported_media_type", "The body must not be encoded",
          "Content-Encoding \"" + printable(encoding) + "\" is not one that this server takes"};
}

Problem malformed(int status, const std::string& detail) {
  switch (status) {
    case 417:
      return {status, "expectation_failed", "The expectation cannot be met", detail};
    case 431:
      return {status, "headers_too_large", "The headers are too large", detail};
    case 501:
      return {status, "not_implemented", "This server does not do that", detail};
    case 505:
      return {status, "http_version_not_supported", "This server speaks HTTP/1.1", detail};
    default:
      return bad_request(detail);
  }
}

Problem overloaded(std::string detail) {
  return {503,
          "overloaded",
          "Too much is under way; nothing was done",
          std::move(detail),
          std::nullopt,
          std::nullopt,
          retry_after};
}

Problem storage_unavailable(std::string detail) {
  return {503,
          "storage_unavailable",
          "The store did not confirm; the request may have been done",
          std::move(detail),
          std::nullopt,
          std::nullopt,
          retry_after};
}

Problem storage_unreadable(std::string detail) {
  Problem problem = storage_unavailable(std::move(detail));
  problem.title = "The store cannot be read now";
  return problem;
}

Problem install_damaged(const std::string& install_id) {
  return storage_damaged("the record of install \"" + install_id + "\" is damaged");
}

Problem storage_damaged(const std::string& found) {
  return {500, "storage_damaged", "The ledger is damaged where the request needs it",
          found +
              "; nothing was done, and no other install is concerned: run `creditsctl check`, and "
              "restore the ledger from a backup"};
}

Problem internal_error() {
  return {500, "internal_error", "The service failed", "the service's log has the reason"};
}

Problem unauthorized(std::string detail, bool has_token) {
  Problem problem{401, "unauthorized", "The call needs a token of this server", std::move(detail)};
  problem.challenge = has_token ? R"(Bearer error="invalid_token")" : "Bearer";
  return problem;
}

Problem forbidden(std::string detail) {
  return {403, "forbidden", "The sender may not make this call", std::move(detail)};
}

Problem ledger_not_empty(std::uint64_t installs) {
  return {409, "ledger_not_empty", "An import needs an empty ledger",
          "the ledger has " + std::to_string(installs) + " installs; nothing was imported"};
}

void refuse_if(const std::optional<std::string>& fault, Problem (*problem_of)(std::string)) {
  if (fault) throw ProblemError{problem_of(*fault)};
}

HttpResponse to_response(const Problem& problem) {
  HttpResponse response{problem.status, "application/problem+json", codec::encode(problem)};
  response.problem = problem.code;
  if (problem.challenge) response.headers.emplace_back("WWW-Authenticate", *problem.challenge);
  if (problem.retry_after) {
    response.headers.emplace_back("Retry-After", std::to_string(problem.retry_after->count()));
  }
  return response;
}

}  // namespace credits::http
