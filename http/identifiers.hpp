// What clients may call things: printable ASCII without space, 1 to 128 bytes of it.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace credits::http {

inline constexpr std::size_t identifier_bytes_max = 128;

// What is wrong with `install_id`; nothing if it is valid. It is neither `.` nor `..`, which a
// URL's path cannot name.
std::optional<std::string> fault_of_install_id(std::string_view install_id);

// What is wrong with `key`; nothing if it is valid. It has no `%`, which some HTTP libraries decode
// in headers.
std::optional<std::string> fault_of_idempotency_key(std::string_view key);

}  // namespace credits::http
