#include "http/idempotency_key.hpp"

#include <algorithm>

namespace credits::http {

std::optional<std::string> fault_of_idempotency_key(std::string_view key) {
  if (key.empty()) return "an idempotency key must not be empty";
  if (key.size() > idempotency_key_bytes_max) {
    return "an idempotency key has at most " + std::to_string(idempotency_key_bytes_max) +
           " bytes, this one has " + std::to_string(key.size());
  }
  const auto odd =
      std::find_if(key.begin(), key.end(), [](char c) { return c < '!' || c > '~' || c == '%'; });
  if (odd != key.end()) {
    return "an idempotency key is printable ASCII without space and without %; byte " +
           std::to_string(odd - key.begin() + 1) + " is not";
  }
  return std::nullopt;
}

}  // namespace credits::http
