// Brings the actors of one ledger up, and down again in the order that loses nothing.
#pragma once

#include <vector>

#include "actors/environment.hpp"
#include "actors/interfaces.hpp"

namespace credits::actors {

struct LedgerActors {
  persister_actor persister;
  snapshotter_actor snapshotter;
  loader_actor loader;
  reporter_actor reporter;
  std::vector<router_actor> routers;
};

// `store` and `environment` must outlive `system`.
LedgerActors spawn_ledger(caf::actor_system& system, persistence::Store& store,
                          Environment& environment, const Tuning& tuning);

// The router that has the install, of so many.
std::size_t router_index_of(std::size_t routers, const std::string& install_id);
const router_actor& router_of(const std::vector<router_actor>& routers,
                              const std::string& install_id);

// Finishes what is under way, writes it, and ends every actor. Nothing may be sent to them any
// more.
void close_ledger(caf::scoped_actor& self, LedgerActors& actors);

// Asks one actor to end, and waits until it says that it does.
template <class Handle>
void close_actor(caf::scoped_actor& self, Handle& actor) {
  self->request(actor, caf::infinite, close_atom::value)
      .receive([](caf::ok_atom) {}, [](const caf::error&) {});
  actor = nullptr;
}

}  // namespace credits::actors
