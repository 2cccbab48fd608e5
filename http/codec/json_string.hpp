// Arbitrary text as JSON, for output other than answers, such as the log.
#pragma once

#include <string>
#include <string_view>

#include "actors/base/text.hpp"

namespace credits::http::codec {

// Returns a JSON string with its quotation marks. Text that is not UTF-8 goes through
// base::printable() first.
std::string json_string(std::string_view text);

}  // namespace credits::http::codec
