#include "http/identifiers.hpp"

#include <algorithm>

namespace credits::http {

namespace {

// `what` is what it is called, `rule` which bytes it may have: those that `is_allowed` lets
// through.
template <class IsAllowed>
std::optional<std::string> fault_of(std::string_view identifier, const char* what, const char* rule,
                                    IsAllowed is_allowed) {
  if (identifier.empty()) return std::string{what} + " must not be empty";
  if (identifier.size() > identifier_bytes_max) {
    return std::string{what} + " has at most " + std::to_string(identifier_bytes_max) +
           " bytes, this one has " + std::to_string(identifier.size());
  }
  const auto odd = std::find_if_not(identifier.begin(), identifier.end(), is_allowed);
  if (odd == identifier.end()) return std::nullopt;
  return std::string{what} + " is " + rule + "; byte " +
         std::to_string(odd - identifier.begin() + 1) + " is not";
}

bool is_printable(char c) { return c >= '!' && c <= '~'; }

}  // namespace

std::optional<std::string> fault_of_install_id(std::string_view install_id) {
  if (install_id == "." || install_id == "..") {
    return "\"" + std::string{install_id} + "\" cannot be an install id";
  }
  return fault_of(install_id, "an install id", "printable ASCII without space", is_printable);
}

std::optional<std::string> fault_of_idempotency_key(std::string_view key) {
  return fault_of(key, "an idempotency key", "printable ASCII without space and without %",
                  [](char c) { return is_printable(c) && c != '%'; });
}

}  // namespace credits::http
