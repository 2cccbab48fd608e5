#include "http/codec/identifiers.hpp"

#include <algorithm>

#include "actors/base/text.hpp"
#include "http/codec/problem.hpp"

namespace credits::http {

namespace {

constexpr std::size_t reservation_id_digits = 32;

bool is_printable(char c) { return c >= '!' && c <= '~'; }

// `what` is the identifier's name in the message; `rule` describes the bytes that `is_allowed`
// accepts.
template <class IsAllowed>
std::optional<std::string> fault_of_bytes(std::string_view text, const char* what, const char* rule,
                                          IsAllowed is_allowed) {
  const auto odd = std::find_if_not(text.begin(), text.end(), is_allowed);
  if (odd == text.end()) return std::nullopt;
  return std::string{what} + " is " + rule + "; byte " + std::to_string(odd - text.begin() + 1) +
         " of \"" + base::printable(text) + "\" is not";
}

std::optional<std::string> fault_of_length(std::string_view identifier, const char* what) {
  if (identifier.empty()) return std::string{what} + " must not be empty";
  if (identifier.size() <= identifier_bytes_max) return std::nullopt;
  return std::string{what} + " has at most " + std::to_string(identifier_bytes_max) +
         " bytes, this one has " + std::to_string(identifier.size());
}

std::optional<std::string> fault_of_id_bytes(std::string_view text, const char* what) {
  return fault_of_bytes(text, what, "printable ASCII without space", is_printable);
}

}  // namespace

std::optional<std::string> fault_of_install_id(std::string_view install_id) {
  if (install_id == "." || install_id == "..") {
    return "\"" + std::string{install_id} + "\" cannot be an install id";
  }
  const auto fault = fault_of_length(install_id, "an install id");
  return fault ? fault : fault_of_id_bytes(install_id, "an install id");
}

std::optional<std::string> fault_of_id_bound(std::string_view bound, const char* parameter) {
  return fault_of_id_bytes(bound, parameter);
}

std::optional<std::string> fault_of_idempotency_key(std::string_view key) {
  const auto fault = fault_of_length(key, "an idempotency key");
  return fault ? fault
               : fault_of_bytes(key, "an idempotency key",
                                "printable ASCII without space and without %",
                                [](char c) { return is_printable(c) && c != '%'; });
}

bool is_reservation_id(std::string_view text) {
  return text.size() == reservation_id_digits &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace credits::http
