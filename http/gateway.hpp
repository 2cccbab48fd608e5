// The gateway actor: where requests from outside enter the actors.
#pragma once

#include <vector>

#include "actors/interfaces.hpp"

namespace credits::http {

struct GatewayState {
  std::vector<actors::router_actor> routers;
  actors::reporter_actor reporter;
  static inline const char* name = "gateway";
};

actors::gateway_actor::behavior_type gateway(
    actors::gateway_actor::stateful_pointer<GatewayState> self,
    std::vector<actors::router_actor> routers, actors::reporter_actor reporter);

}  // namespace credits::http
