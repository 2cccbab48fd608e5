// Runs a ledger's actors on a store, from spawning to an end that loses nothing, for every program
// that serves a ledger.
#pragma once

#include <caf/all.hpp>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "actors/environment.hpp"
#include "actors/gateway.hpp"
#include "actors/system.hpp"
#include "persistence/store.hpp"

namespace credits {

// Opens the ledger that `store` names: `sqlite` in `data_dir`, or a PostgreSQL URI. The engine
// passes events to `report`, and the numbers of replayed and of all entries to `report_replay`.
// Errors: as open_sqlite_store() and open_postgres_store().
std::unique_ptr<persistence::Store> open_store(
    const std::string& store, const std::filesystem::path& data_dir,
    const persistence::Report& report = {},
    std::function<void(std::uint64_t, std::uint64_t)> report_replay = {});

class RunningLedger {
 public:
  // `store` and `environment` must outlive it.
  RunningLedger(persistence::Store& store, actors::Environment& environment,
                const actors::Tuning& tuning);
  // Finishes the work in flight. All senders to the gateway must have stopped before.
  ~RunningLedger();
  RunningLedger(const RunningLedger&) = delete;
  RunningLedger& operator=(const RunningLedger&) = delete;

  const actors::Gateway& gateway() const { return gateway_; }

 private:
  struct Config : caf::actor_system_config {
    Config() { set("scheduler.policy", caf::atom("sharing")); }
  };

  Config config_;
  caf::actor_system system_;
  actors::LedgerActors actors_;
  const actors::Gateway gateway_{actors_};
};

}  // namespace credits
