#include "actors/system.hpp"

#include <algorithm>
#include <functional>
#include <utility>

#include "actors/base/assert.hpp"
#include "actors/confirmer.hpp"
#include "actors/persister.hpp"
#include "actors/reader.hpp"
#include "actors/router.hpp"
#include "actors/snapshotter.hpp"

namespace credits::actors {

namespace {

template <class... Args>
auto spawn_blocking(caf::actor_system& system, const Tuning& tuning, Args&&... args) {
  return tuning.own_threads ? system.spawn<caf::detached>(std::forward<Args>(args)...)
                            : system.spawn(std::forward<Args>(args)...);
}

}  // namespace

LedgerActors spawn_ledger(caf::actor_system& system, persistence::Store& store,
                          Environment& environment, const Tuning& tuning) {
  environment.store_is_shared = store.is_shared();
  environment.figures.installs = store.installs();
  environment.figures.snapshot_pending_rows = store.pending_rows();
  const ledger::Time now = environment.now();
  const ledger::Time reached = store.newest_time().value_or(now);
  environment.figures.newest_time.raise(reached);
  environment.aging.saw(std::min(now, reached), environment.steady_now());
  LedgerActors actors;
  actors.snapshotter = spawn_blocking(system, tuning, snapshotter, &store, &environment, tuning);
  actors.persister =
      spawn_blocking(system, tuning, persister, &store, &environment, actors.snapshotter, tuning);
  if (store.is_shared()) {
    actors.confirmer = spawn_blocking(system, tuning, confirmer, &store, actors.persister);
  }
  actors.loader =
      spawn_blocking(system, tuning, loader, &store, &environment, tuning.replay_keys_known_max);
  actors.reporter = spawn_blocking(system, tuning, reporter, &store, &environment);
  Tuning share = tuning;
  share.live_installs_max =
      std::max<std::size_t>(1, tuning.live_installs_max / tuning.router_shards);
  for (std::size_t i = 0; i < tuning.router_shards; ++i) {
    actors.routers.push_back(system.spawn(router, &environment, actors.persister, actors.confirmer,
                                          actors.loader, actors.reporter, share));
  }
  // A crash may have left rows that the snapshots lack.
  if (store.pending_rows() > 0)
    caf::anon_send(actors.snapshotter, stored_atom::value, store.pending_rows());
  return actors;
}

std::size_t router_index_of(std::size_t routers, const std::string& install_id) {
  CREDITS_EXPECTS(routers > 0);
  return std::hash<std::string>{}(install_id) % routers;
}

const router_actor& router_of(const std::vector<router_actor>& routers,
                              const std::string& install_id) {
  return routers[router_index_of(routers.size(), install_id)];
}

void close_ledger(caf::scoped_actor& self, LedgerActors& actors) {
  for (router_actor& router : actors.routers) close_actor(self, router, "router");
  close_actor(self, actors.confirmer, "confirmer");
  close_actor(self, actors.persister, "persister");
  close_actor(self, actors.snapshotter, "snapshotter");
  close_actor(self, actors.loader, "loader");
  close_actor(self, actors.reporter, "reporter");
}

}  // namespace credits::actors
