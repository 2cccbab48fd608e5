#include "http/gateway.hpp"

#include <utility>

#include "actors/system.hpp"

namespace credits::http {

using namespace actors;

gateway_actor::behavior_type gateway(gateway_actor::stateful_pointer<GatewayState> self,
                                     std::vector<router_actor> routers, reporter_actor reporter) {
  self->state.routers = std::move(routers);
  self->state.reporter = std::move(reporter);
  return {
      [self](run_atom, Request& request) {
        const auto& router = router_of(self->state.routers, request.operation.install_id);
        self->send(router, run_atom::value, std::move(request));
      },
      [self](list_atom, ListRequest& request) {
        self->send(self->state.reporter, list_atom::value, std::move(request));
      },
      [self](entries_atom, EntriesRequest& request) {
        self->send(self->state.reporter, entries_atom::value, std::move(request));
      },
      [self](snapshot_atom, SnapshotRequest& request) {
        self->send(self->state.reporter, snapshot_atom::value, std::move(request));
      },
      [self](close_atom) {
        self->quit();
        return caf::ok_atom::value;
      },
  };
}

}  // namespace credits::http
