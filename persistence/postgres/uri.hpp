// Parses URIs of PostgreSQL as libpq does.
#pragma once

#include <map>
#include <optional>
#include <string>

namespace credits::persistence::postgres {

// The options that the URI sets, by libpq's keywords; nullopt if it is not a URI of PostgreSQL.
std::optional<std::map<std::string, std::string>> options_of(const std::string& uri);

}  // namespace credits::persistence::postgres
