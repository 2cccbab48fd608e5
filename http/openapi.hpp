// http/openapi.yaml, as it is built into the program and served at /openapi.yaml.
#pragma once

#include <string_view>

namespace credits::http {

std::string_view openapi_yaml();

}  // namespace credits::http
