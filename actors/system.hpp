// Starts the actors of one ledger, and stops them in an order that loses nothing.
#pragma once

#include <chrono>
#include <vector>

#include "actors/environment.hpp"
#include "actors/handlers.hpp"
#include "actors/interfaces.hpp"

namespace credits::actors {

struct LedgerActors {
  persister_actor persister;
  confirmer_actor confirmer;  // none: the store is not shared
  snapshotter_actor snapshotter;
  loader_actor loader;
  reporter_actor reporter;
  std::vector<router_actor> routers;
};

// `store` and `environment` must outlive `system`.
LedgerActors spawn_ledger(caf::actor_system& system, persistence::Store& store,
                          Environment& environment, const Tuning& tuning);

// The index, among this many routers, of the one responsible for the install.
std::size_t router_index_of(std::size_t routers, const std::string& install_id);
const router_actor& router_of(const std::vector<router_actor>& routers,
                              const std::string& install_id);

// Finishes and writes everything under way, and ends every actor. Nothing may be sent to them any
// more.
void close_ledger(caf::scoped_actor& self, LedgerActors& actors);

// The longest that an actor takes to end: a write and a checkpoint, with all the waits of
// PROMISES.md.
inline constexpr std::chrono::seconds closing_max{60};

// Asks one actor to end, and waits for its confirmation.
template <class Handle>
void close_actor(caf::scoped_actor& self, Handle& actor, const char* name) {
  if (!actor) return;
  self->request(actor, closing_max, close_atom::value)
      .receive(
          [](caf::ok_atom) {},
          [name](const caf::error& error) { end_process(name, "close", caf::to_string(error)); });
  actor = nullptr;
}

}  // namespace credits::actors
