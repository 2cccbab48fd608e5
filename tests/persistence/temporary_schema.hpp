// A schema in PostgreSQL for one test, dropped at its end.
#pragma once

#include <cstdlib>
#include <stdexcept>
#include <string>

#include "persistence/postgres/connection.hpp"

namespace credits::tests {

class TemporarySchema {
 public:
  TemporarySchema() {
    static int number = 0;
    name_ = "test_" + std::to_string(++number);
    run("DROP SCHEMA IF EXISTS " + name_ + " CASCADE; CREATE SCHEMA " + name_);
  }
  ~TemporarySchema() {
    try {
      run("DROP SCHEMA " + name_ + " CASCADE");
    } catch (const persistence::StoreError&) {
      // the server belongs to the test run, and ends with it
    }
  }
  TemporarySchema(const TemporarySchema&) = delete;
  TemporarySchema& operator=(const TemporarySchema&) = delete;

  std::string uri() const { return server() + "?options=-csearch_path%3D" + name_; }

  // The same through this port instead of the server's own.
  std::string uri_by_way_of(int port) const {
    const std::string own = ":" + std::to_string(server_port());
    return uri().replace(uri().rfind(own + "/"), own.size(), ":" + std::to_string(port));
  }

  static int server_port() { return std::stoi(server().substr(server().rfind(':') + 1)); }

  void run(const std::string& statements) const {
    persistence::postgres::Connection{server()}.run_script(statements);
  }

 private:
  static std::string server() {
    if (const char* uri = std::getenv("CREDITS_POSTGRES")) return uri;
    throw std::runtime_error{
        "CREDITS_POSTGRES names no server: run this by tools/cluster/postgres.py"};
  }

  std::string name_;
};

}  // namespace credits::tests
