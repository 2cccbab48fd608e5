// The gateway actor: where requests from outside enter the actors.
#pragma once

#include "actors/system.hpp"

namespace credits::http {

struct GatewayState {
  actors::LedgerActors actors;
  static inline const char* name = "gateway";
};

actors::gateway_actor::behavior_type gateway(
    actors::gateway_actor::stateful_pointer<GatewayState> self, actors::LedgerActors ledger_actors);

}  // namespace credits::http
