// The servers that a URI names. libpq could try them itself, but always in the URI's order, so each
// new connection would wait again for a server that hangs.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace credits::persistence::postgres {

// A host as the URI names it; empty fields are left to libpq.
struct Host {
  std::string name;
  std::string address;
  std::string port;

  bool operator==(const Host&) const = default;
};

// For one thread at a time.
class Hosts {
 public:
  // Throws StoreError if `uri` is not a URI of PostgreSQL.
  explicit Hosts(const std::string& uri);

  // The hosts in the order in which to try them.
  const std::vector<Host>& in_order() const { return hosts_; }
  void put_first(const Host& host);
  void put_last(const Host& host);

  // libpq's parameters of a connection to `host`. Defaults for options that the URI leaves open
  // make libpq notice a failed server, and reject one that does not accept writes.
  std::map<std::string, std::string> parameters_of(const Host& host) const;

  // The search path that the URI's options set; empty: none.
  std::string search_path() const;

 private:
  std::map<std::string, std::string> options_;  // without the hosts
  std::vector<Host> hosts_;
};

}  // namespace credits::persistence::postgres
