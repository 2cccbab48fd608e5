#include "tools/running_ledger.hpp"

#include <algorithm>
#include <thread>

#include "http/gateway.hpp"

namespace credits {

namespace {

actors::Tuning on_every_core(actors::Tuning tuning) {
  tuning.router_shards = std::max(1U, std::thread::hardware_concurrency());
  return tuning;
}

}  // namespace

RunningLedger::RunningLedger(persistence::Store& store, actors::Environment& environment,
                             const actors::Tuning& tuning)
    : system_{config_},
      actors_{actors::spawn_ledger(system_, store, environment, on_every_core(tuning))},
      gateway_{system_.spawn(http::gateway, actors_)} {}

RunningLedger::~RunningLedger() {
  caf::scoped_actor self{system_};
  actors::close_actor(self, gateway_);
  actors::close_ledger(self, actors_);
}

}  // namespace credits
