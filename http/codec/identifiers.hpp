// What clients may call things: printable ASCII without space, 1 to 128 bytes of it. Whatever
// breaks these rules is refused before it comes to an actor or a store, and so is no trouble of
// theirs. What a tier may be called is in codec/names.hpp.
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

// What is wrong with `bound`, the `parameter` of a list that ids begin with or come after; nothing
// if an id may have its bytes. It may be empty, and longer than an id.
std::optional<std::string> fault_of_id_bound(std::string_view bound, const char* parameter);

// What is wrong with `key`; nothing if it is valid. It has no `%`, which some HTTP libraries decode
// in headers.
std::optional<std::string> fault_of_idempotency_key(std::string_view key);

// Whether a reservation may be called so, as the ledger names them: 32 lower-case hex digits.
bool is_reservation_id(std::string_view text);

}  // namespace credits::http
