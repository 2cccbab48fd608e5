// URIs of PostgreSQL, as libpq takes them.
#include <libpq-fe.h>

#include <memory>
#include <utility>

#include "persistence/postgres_store.hpp"

namespace credits::persistence {

namespace {

using Options = std::unique_ptr<PQconninfoOption, decltype(&::PQconninfoFree)>;

Options parse(const std::string& uri) {
  char* message = nullptr;
  Options options{::PQconninfoParse(uri.c_str(), &message), ::PQconninfoFree};
  ::PQfreemem(message);  // it repeats the URI
  return options;
}

std::string value_of(const Options& options, std::string_view keyword) {
  for (const PQconninfoOption* option = options.get(); option->keyword; ++option) {
    if (option->keyword == keyword && option->val) return option->val;
  }
  return {};
}

}  // namespace

bool is_postgres_uri(std::string_view store) {
  return store.starts_with("postgresql://") || store.starts_with("postgres://");
}

std::optional<std::string> fault_of_postgres_uri(const std::string& uri) {
  const Options options = parse(uri);
  if (!options) {
    return "that is no URI of PostgreSQL; one reads like postgresql://USER@HOST:5432/DATABASE";
  }
  if (value_of(options, "password").empty()) return std::nullopt;
  return "the URI has a password, which lists of processes show; give it by PGPASSWORD, PGPASSFILE "
         "or a service file (PGSERVICEFILE)";
}

std::string name_of_postgres(const std::string& uri) {
  const Options options = parse(uri);
  std::string name = "PostgreSQL";
  for (const auto& [before, keyword] :
       {std::pair{" at ", "host"}, {":", "port"}, {"/", "dbname"}, {" by service ", "service"}}) {
    const std::string value = value_of(options, keyword);
    if (!value.empty()) name.append(before).append(value);
  }
  return name;
}

}  // namespace credits::persistence
