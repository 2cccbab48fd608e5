// What an idempotency key may be: 1 to 128 bytes of printable ASCII, without space and without `%`,
// which some HTTP libraries decode in headers.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace credits::http {

inline constexpr std::size_t idempotency_key_bytes_max = 128;

// What is wrong with `key`; nothing if it is valid.
std::optional<std::string> fault_of_idempotency_key(std::string_view key);

}  // namespace credits::http
