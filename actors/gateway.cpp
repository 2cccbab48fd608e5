#include "actors/gateway.hpp"

#include <utility>

#include "actors/inline_executor.hpp"

namespace credits::actors {

void Gateway::run(Request request) const {
  const router_actor& router = router_of(actors_.routers, request.operation.install_id);
  send_and_run(router, run_atom::value, std::move(request));
}

void Gateway::run(std::vector<Request> requests) const {
  std::vector<std::vector<Request>> shares(actors_.routers.size());
  for (Request& request : requests) {
    const std::size_t index = router_index_of(shares.size(), request.operation.install_id);
    shares[index].push_back(std::move(request));
  }
  for (std::size_t i = 0; i < shares.size(); ++i) {
    if (shares[i].empty()) continue;
    send_and_run(actors_.routers[i], run_atom::value, std::move(shares[i]));
  }
}

void Gateway::list(ListRequest request) const {
  caf::anon_send(actors_.reporter, list_atom::value, std::move(request));
}

void Gateway::entries(EntriesRequest request) const {
  caf::anon_send(actors_.reporter, entries_atom::value, std::move(request));
}

void Gateway::snapshot(SnapshotRequest request) const {
  caf::anon_send(actors_.reporter, snapshot_atom::value, std::move(request));
}

void Gateway::report(ReportRequest request) const {
  const router_actor& router = router_of(actors_.routers, request.install_id);
  caf::anon_send<caf::message_priority::high>(router, report_atom::value, std::move(request));
}

void Gateway::import(ImportRequest request) const {
  request.routers = actors_.routers;
  caf::anon_send(actors_.persister, import_atom::value, std::move(request));
}

}  // namespace credits::actors
