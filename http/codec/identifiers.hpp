// The rules for clients' identifiers: 1 to 128 bytes of printable ASCII without space. An invalid
// identifier is refused before it reaches an actor or a store. codec/names.hpp has the rules for
// tiers.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace credits::http {

inline constexpr std::size_t identifier_bytes_max = 128;

// The fault of `install_id`; nullopt if it is valid. `.` and `..` are invalid, because a URL's path
// cannot name them.
std::optional<std::string> fault_of_install_id(std::string_view install_id);

// The fault of `bound`, the value of `parameter` in a listing of ids (a prefix, or the id to start
// after); nullopt if an id may have its bytes. It may be empty, or longer than an id.
std::optional<std::string> fault_of_id_bound(std::string_view bound, const char* parameter);

// The fault of `key`; nullopt if it is valid. `%` is invalid, because some HTTP libraries decode it
// in headers.
std::optional<std::string> fault_of_idempotency_key(std::string_view key);

// Whether `text` has the form of a reservation's id: 32 lower-case hex digits.
bool is_reservation_id(std::string_view text);

}  // namespace credits::http
