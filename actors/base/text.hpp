// Text from files that people write. Some programs put a byte order mark in front, or save it in
// UTF-16; what is wrong there cannot be seen, so it has to be named.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace credits::base {

// `text` without UTF-8's byte order mark, if it begins with one.
std::string_view without_mark(std::string_view text);

// Whether it is UTF-16 or UTF-32, and what to do; nothing if it is neither. The first 4 bytes tell.
std::optional<std::string> fault_of_encoding(std::string_view text);

// Why it is not UTF-8, or has a NUL, with the line, the column and the byte; nothing if it is text.
std::optional<std::string> fault_of_text(std::string_view text);
inline bool is_text(std::string_view bytes) { return !fault_of_text(bytes); }

// `text` cut to a length that an error message can bear, with bytes other than printable ASCII as
// %XX.
std::string printable(std::string_view text);

}  // namespace credits::base
