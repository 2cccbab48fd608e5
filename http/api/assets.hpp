// The files embedded in the server: the dashboard, Chart.js, and the API's description.
#pragma once

#include <string_view>

#include "http/server/message.hpp"

namespace credits::http {

// Compressed if the client takes gzip and compression pays. Precondition: a route leads to `path`.
HttpResponse asset_at(std::string_view path, bool takes_gzip);

std::string_view openapi_yaml();

}  // namespace credits::http
