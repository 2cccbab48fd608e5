// What a URI of PostgreSQL says, as libpq reads it.
#pragma once

#include <map>
#include <optional>
#include <string>

namespace credits::persistence::postgres {

// By libpq's keywords, those that the URI sets; nothing if it is none.
std::optional<std::map<std::string, std::string>> options_of(const std::string& uri);

}  // namespace credits::persistence::postgres
