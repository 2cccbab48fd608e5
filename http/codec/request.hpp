// Bodies of requests: from JSON to operations. Throws ProblemError for what is no JSON, has an
// unknown field, or a value of the wrong type or out of range; the problem names the field.
#pragma once

#include <string_view>

#include "actors/operation.hpp"

namespace credits::http::codec {

actors::Plan decode_plan(std::string_view body);
actors::Commit decode_commit(std::string_view body);

// For calls that take no fields: an empty body or an empty object.
void decode_nothing(std::string_view body);

}  // namespace credits::http::codec
