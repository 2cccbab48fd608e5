#include "persistence/postgres/uri.hpp"

#include <libpq-fe.h>

#include <memory>
#include <utility>

#include "persistence/postgres/store.hpp"

namespace credits::persistence {

std::optional<std::map<std::string, std::string>> postgres::options_of(const std::string& uri) {
  char* message = nullptr;
  const std::unique_ptr<PQconninfoOption, decltype(&::PQconninfoFree)> parsed{
      ::PQconninfoParse(uri.c_str(), &message), ::PQconninfoFree};
  ::PQfreemem(message);  // it repeats the URI
  if (!parsed) return std::nullopt;
  std::map<std::string, std::string> options;
  for (const PQconninfoOption* option = parsed.get(); option->keyword; ++option) {
    if (option->val) options[option->keyword] = option->val;
  }
  return options;
}

bool is_postgres_uri(std::string_view store) {
  return store.starts_with("postgresql://") || store.starts_with("postgres://");
}

std::optional<std::string> fault_of_postgres_uri(const std::string& uri) {
  const auto options = postgres::options_of(uri);
  if (!options) {
    return "not a URI of PostgreSQL, such as postgresql://USER@HOST:5432/DATABASE";
  }
  const auto password = options->find("password");
  if (password == options->end() || password->second.empty()) return std::nullopt;
  return "the URI has a password, which process lists would show; pass it by PGPASSWORD, "
         "PGPASSFILE "
         "or a service file (PGSERVICEFILE)";
}

std::string name_of_postgres(const std::string& uri) {
  auto options = postgres::options_of(uri).value_or(std::map<std::string, std::string>{});
  std::string name = "PostgreSQL";
  for (const auto& [before, keyword] :
       {std::pair{" at ", "host"}, {":", "port"}, {"/", "dbname"}, {" by service ", "service"}}) {
    const std::string value = options[keyword];
    if (!value.empty()) name.append(before).append(value);
  }
  return name;
}

}  // namespace credits::persistence
