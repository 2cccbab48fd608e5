// The actors of a ledger on a store, from their spawning to an end that loses nothing: for each
// program that serves one.
#pragma once

#include <caf/all.hpp>

#include "actors/environment.hpp"
#include "actors/interfaces.hpp"
#include "actors/system.hpp"
#include "persistence/store.hpp"

namespace credits {

class RunningLedger {
 public:
  // `store` and `environment` must outlive it.
  RunningLedger(persistence::Store& store, actors::Environment& environment,
                const actors::Tuning& tuning);
  // Finishes what is under way. Whoever sends to the gateway must have stopped before.
  ~RunningLedger();
  RunningLedger(const RunningLedger&) = delete;
  RunningLedger& operator=(const RunningLedger&) = delete;

  const actors::gateway_actor& gateway() const { return gateway_; }

 private:
  struct Config : caf::actor_system_config {
    Config() { set("scheduler.policy", caf::atom("sharing")); }
  };

  Config config_;
  caf::actor_system system_;
  actors::LedgerActors actors_;
  actors::gateway_actor gateway_;
};

}  // namespace credits
