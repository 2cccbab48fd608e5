// The servers that a URI names. libpq would go through them by itself, but always in the URI's
// order, so that each new connection would wait again for a server that hangs.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace credits::persistence::postgres {

// As the URI has them; what is empty is left to libpq.
struct Host {
  std::string name;
  std::string address;
  std::string port;

  bool operator==(const Host&) const = default;
};

// One thread at a time.
class Hosts {
 public:
  // Throws StoreError if that is no URI.
  explicit Hosts(const std::string& uri);

  // In the order in which they are to be tried.
  const std::vector<Host>& in_order() const { return hosts_; }
  void put_first(const Host& host);
  void put_last(const Host& host);

  // libpq's parameters of a connection to `host`. What the URI leaves open is set so that a failed
  // server is noticed, and so that only one that takes writes will do.
  std::map<std::string, std::string> parameters_of(const Host& host) const;

  // That the URI's options set; empty: none.
  std::string search_path() const;

 private:
  std::map<std::string, std::string> options_;  // without the hosts
  std::vector<Host> hosts_;
};

}  // namespace credits::persistence::postgres
