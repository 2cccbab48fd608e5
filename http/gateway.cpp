#include "http/gateway.hpp"

#include <utility>

#include "actors/handlers.hpp"
#include "actors/system.hpp"

namespace credits::http {

using namespace actors;

namespace {

// Each router's requests, in their order.
std::vector<std::pair<router_actor, std::vector<Request>>> shares_of(
    const std::vector<router_actor>& routers, std::vector<Request>& requests) {
  std::vector<std::pair<router_actor, std::vector<Request>>> shares;
  for (const router_actor& router : routers) shares.push_back({router, {}});
  for (Request& request : requests) {
    const std::size_t index = router_index_of(routers.size(), request.operation.install_id);
    shares[index].second.push_back(std::move(request));
  }
  std::erase_if(shares, [](const auto& share) { return share.second.empty(); });
  return shares;
}

}  // namespace

gateway_actor::behavior_type gateway(gateway_actor::stateful_pointer<GatewayState> self,
                                     LedgerActors ledger_actors) {
  self->state.actors = std::move(ledger_actors);
  return behavior_of(
      self, "gateway",
      [self](run_atom, Request& request) {
        const auto& router = router_of(self->state.actors.routers, request.operation.install_id);
        self->send(router, run_atom::value, std::move(request));
      },
      [self](run_atom, std::vector<Request>& requests) {
        for (auto& [router, share] : shares_of(self->state.actors.routers, requests)) {
          self->send(router, run_atom::value, std::move(share));
        }
      },
      [self](list_atom, ListRequest& request) {
        self->send(self->state.actors.reporter, list_atom::value, std::move(request));
      },
      [self](entries_atom, EntriesRequest& request) {
        self->send(self->state.actors.reporter, entries_atom::value, std::move(request));
      },
      [self](snapshot_atom, SnapshotRequest& request) {
        self->send(self->state.actors.reporter, snapshot_atom::value, std::move(request));
      },
      [self](report_atom, ReportRequest& request) {
        const auto& router = router_of(self->state.actors.routers, request.install_id);
        self->send<caf::message_priority::high>(router, report_atom::value, std::move(request));
      },
      [self](import_atom, ImportRequest& request) {
        request.routers = self->state.actors.routers;
        self->send(self->state.actors.persister, import_atom::value, std::move(request));
      },
      [self](close_atom) {
        self->quit();
        return caf::ok_atom::value;
      });
}

}  // namespace credits::http
