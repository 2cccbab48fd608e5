// Text from anywhere as JSON, for lines that are written elsewhere than in an answer.
#pragma once

#include <string>
#include <string_view>

#include "actors/base/text.hpp"

namespace credits::http::codec {

// As a JSON string, quotation marks included. What is no UTF-8 is shown as base::printable() shows
// it.
std::string json_string(std::string_view text);

}  // namespace credits::http::codec
