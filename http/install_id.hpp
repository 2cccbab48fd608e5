// What an install id may be: 1 to 128 bytes of printable ASCII without space, and neither `.` nor
// `..`, which a URL's path cannot name.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace credits::http {

inline constexpr std::size_t install_id_bytes_max = 128;

// What is wrong with `install_id`; nothing if it is valid.
std::optional<std::string> fault_of_install_id(std::string_view install_id);

}  // namespace credits::http
