// The table of calls. http/openapi.yaml describes the same calls; a test compares the two.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace credits::http {

enum class Call {
  put_install,
  get_install,
  plan,
  commit,
  reserve,
  settle,
  release,
  batch,
  list_installs,
  list_entries,
  get_snapshot,
  import_ledger,
  get_stats,
  get_actor,
  get_quota,
  put_quota,
  metrics,
  healthz,
  readyz,
  asset,
};

inline constexpr std::size_t calls = static_cast<std::size_t>(Call::asset) + 1;

// Who may make a call, on a server with tokens.
enum class Scope {
  anyone,
  relay,      // with any token
  operators,  // with an admin's token
};

// The thread that runs it.
enum class Runs {
  on_loop,    // it never blocks
  on_worker,  // it may wait for the store or a file
};

struct Route {
  std::string_view method;
  std::string_view path;  // a segment in braces stands for any one segment
  Call call;
  Scope scope;
  Runs runs;
  std::string_view operation{};  // its name in stats and metrics; empty: not counted there
};

inline constexpr std::array routes{
    Route{"POST", "/v1/installs/{install_id}/commit", Call::commit, Scope::relay, Runs::on_loop,
          "commit"},
    Route{"POST", "/v1/installs/{install_id}/plan", Call::plan, Scope::relay, Runs::on_loop,
          "plan"},
    Route{"POST", "/v1/installs/{install_id}/reservations", Call::reserve, Scope::relay,
          Runs::on_loop, "reserve"},
    Route{"POST", "/v1/installs/{install_id}/reservations/{reservation_id}/commit", Call::settle,
          Scope::relay, Runs::on_loop, "settle"},
    Route{"DELETE", "/v1/installs/{install_id}/reservations/{reservation_id}", Call::release,
          Scope::relay, Runs::on_loop, "release"},
    Route{"POST", "/v1/batch", Call::batch, Scope::relay, Runs::on_loop, "batch"},
    Route{"GET", "/v1/installs/{install_id}", Call::get_install, Scope::relay, Runs::on_loop,
          "get"},
    Route{"PUT", "/v1/installs/{install_id}", Call::put_install, Scope::relay, Runs::on_loop,
          "create"},
    Route{"GET", "/v1/installs/{install_id}/entries", Call::list_entries, Scope::operators,
          Runs::on_worker, "entries"},
    Route{"GET", "/v1/installs/{install_id}/actor", Call::get_actor, Scope::operators,
          Runs::on_worker, "actor"},
    Route{"GET", "/v1/installs", Call::list_installs, Scope::operators, Runs::on_worker, "list"},
    Route{"GET", "/v1/snapshot", Call::get_snapshot, Scope::operators, Runs::on_worker, "snapshot"},
    Route{"POST", "/v1/import", Call::import_ledger, Scope::operators, Runs::on_worker, "import"},
    Route{"GET", "/v1/stats", Call::get_stats, Scope::operators, Runs::on_loop, "stats"},
    Route{"GET", "/v1/quota", Call::get_quota, Scope::operators, Runs::on_loop, "get_quota"},
    Route{"PUT", "/v1/quota", Call::put_quota, Scope::operators, Runs::on_worker, "put_quota"},
    Route{"GET", "/metrics", Call::metrics, Scope::operators, Runs::on_loop},
    Route{"GET", "/healthz", Call::healthz, Scope::anyone, Runs::on_loop},
    Route{"GET", "/readyz", Call::readyz, Scope::anyone, Runs::on_loop},
    Route{"GET", "/openapi.yaml", Call::asset, Scope::anyone, Runs::on_loop},
    Route{"GET", "/", Call::asset, Scope::anyone, Runs::on_loop},
    Route{"GET", "/dashboard.css", Call::asset, Scope::anyone, Runs::on_loop},
    Route{"GET", "/dashboard.js", Call::asset, Scope::anyone, Runs::on_loop},
    Route{"GET", "/installs.js", Call::asset, Scope::anyone, Runs::on_loop},
    Route{"GET", "/page.js", Call::asset, Scope::anyone, Runs::on_loop},
    Route{"GET", "/chart.js", Call::asset, Scope::anyone, Runs::on_loop},
    Route{"GET", "/favicon.svg", Call::asset, Scope::anyone, Runs::on_loop},
};

struct RouteMatch {
  const Route* route = nullptr;             // null: no route of this path takes the method
  std::vector<std::string_view> variables;  // the segments for those in braces, percent-encoded
  std::vector<std::string> allowed;  // without a route: the path's methods; empty: an unknown path
};

// HEAD matches the routes of GET.
RouteMatch match_route(std::string_view method, const std::vector<std::string_view>& segments);

}  // namespace credits::http
