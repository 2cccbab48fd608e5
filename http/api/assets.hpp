// The files embedded in the server: the dashboard, Chart.js, and the API's description.
#pragma once

#include <string_view>

#include "http/server/message.hpp"

namespace credits::http {

// Precondition: a route leads to `path`.
HttpResponse asset_at(std::string_view path);

std::string_view openapi_yaml();

}  // namespace credits::http
