// Checks text from files that people write. Some programs add a byte order mark or save as UTF-16.
// An editor does not show such faults, so the error message has to name them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace credits::base {

// `text` without UTF-8's byte order mark, if it begins with one.
std::string_view without_mark(std::string_view text);

// Advice if `text` is UTF-16 or UTF-32; nullopt if it is neither. Only looks at the first 4 bytes.
std::optional<std::string> fault_of_encoding(std::string_view text);

// Why it is not text: not UTF-8, or a NUL, with line, column and byte; nullopt if it is text.
std::optional<std::string> fault_of_text(std::string_view text);
inline bool is_text(std::string_view bytes) { return !fault_of_text(bytes); }

// `text` cut to a length that fits into an error message, with bytes other than printable ASCII as
// %XX.
std::string printable(std::string_view text);

}  // namespace credits::base
