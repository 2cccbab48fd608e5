// The engines on which every test of a store's promises runs, each with a ledger of its own.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "persistence/postgres/store.hpp"
#include "persistence/sqlite/store.hpp"
#include "tests/catch.hpp"
#include "tests/memory_store.hpp"
#include "tests/persistence/relay.hpp"
#include "tests/persistence/temporary_schema.hpp"
#include "tests/temporary_directory.hpp"

namespace credits::tests {

// go_back() restores each ledger as of keep() without telling the holders of its stamps: as a
// failover to a server that lacks the last writes does, or a restored backup.

class Memory {
 public:
  persistence::MemoryStore& store() { return store_; }
  void keep() { store_.keep(); }
  void go_back() { store_.go_back(); }
  // The next append is stored, but its outcome is lost.
  void lose_next_outcome() { store_.fail_append_after_storing(); }

 private:
  persistence::MemoryStore store_;
};

class Sqlite {
 public:
  persistence::Store& store() { return *store_; }

  void keep() { put_in_place_of(kept_, data_); }
  void go_back() { put_in_place_of(data_, kept_); }

 private:
  void put_in_place_of(const std::filesystem::path& old, const std::filesystem::path& copied) {
    store_.reset();
    std::filesystem::remove_all(old);
    std::filesystem::copy(copied, old);
    store_ = persistence::open_sqlite_store(data_);
  }

  TemporaryDirectory directory_;
  const std::filesystem::path data_ = directory_.path() / "data";
  const std::filesystem::path kept_ = directory_.path() / "kept";
  std::unique_ptr<persistence::Store> store_ = persistence::open_sqlite_store(data_);
};

// With a schema of its own in the database that $CREDITS_POSTGRES names
// (tools/cluster/postgres.py).
class Postgres {
 public:
  persistence::Store& store() { return *store_; }

  void keep() {
    for (const std::string table : tables) {
      run("CREATE TABLE kept_" + table + " AS TABLE credits_" + table);
    }
  }
  void go_back() {
    std::string script = "BEGIN;";
    for (const std::string table : tables) {
      script += "DELETE FROM credits_" + table + "; INSERT INTO credits_" + table + " TABLE kept_" +
                table + ";";
    }
    run(script + "COMMIT");
  }
  void lose_next_outcome() { relay_.lose_next_answer(); }

 private:
  static constexpr const char* tables[] = {"installs", "entries", "names", "baselines"};

  void run(const std::string& script) {
    persistence::postgres::Connection{schema_.uri()}.run_script(script);
  }

  TemporarySchema schema_;
  Relay relay_{TemporarySchema::server_port()};
  std::unique_ptr<persistence::Store> store_ =
      persistence::open_postgres_store(schema_.uri_by_way_of(relay_.port()));
};

#define EVERY_ENGINE(name)                                                     \
  TEMPLATE_TEST_CASE(name, "", credits::tests::Memory, credits::tests::Sqlite, \
                     credits::tests::Postgres)

}  // namespace credits::tests
