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

struct Route {
  std::string_view method;
  std::string_view path;  // a segment in braces stands for any one segment
  Call call;
  Scope scope;
  std::string_view operation{};  // its name in stats and metrics; empty: not counted there
};

inline constexpr std::array routes{
    Route{"POST", "/v1/installs/{install_id}/commit", Call::commit, Scope::relay, "commit"},
    Route{"POST", "/v1/installs/{install_id}/plan", Call::plan, Scope::relay, "plan"},
    Route{"POST", "/v1/installs/{install_id}/reservations", Call::reserve, Scope::relay, "reserve"},
    Route{"POST", "/v1/installs/{install_id}/reservations/{reservation_id}/commit", Call::settle,
          Scope::relay, "settle"},
    Route{"DELETE", "/v1/installs/{install_id}/reservations/{reservation_id}", Call::release,
          Scope::relay, "release"},
    Route{"POST", "/v1/batch", Call::batch, Scope::relay, "batch"},
    Route{"GET", "/v1/installs/{install_id}", Call::get_install, Scope::relay, "get"},
    Route{"PUT", "/v1/installs/{install_id}", Call::put_install, Scope::relay, "create"},
    Route{"GET", "/v1/installs/{install_id}/entries", Call::list_entries, Scope::operators,
          "entries"},
    Route{"GET", "/v1/installs/{install_id}/actor", Call::get_actor, Scope::operators, "actor"},
    Route{"GET", "/v1/installs", Call::list_installs, Scope::operators, "list"},
    Route{"GET", "/v1/snapshot", Call::get_snapshot, Scope::operators, "snapshot"},
    Route{"POST", "/v1/import", Call::import_ledger, Scope::operators, "import"},
    Route{"GET", "/v1/stats", Call::get_stats, Scope::operators, "stats"},
    Route{"GET", "/v1/quota", Call::get_quota, Scope::operators, "get_quota"},
    Route{"PUT", "/v1/quota", Call::put_quota, Scope::operators, "put_quota"},
    Route{"GET", "/metrics", Call::metrics, Scope::operators},
    Route{"GET", "/healthz", Call::healthz, Scope::anyone},
    Route{"GET", "/readyz", Call::readyz, Scope::anyone},
    Route{"GET", "/openapi.yaml", Call::asset, Scope::anyone},
    Route{"GET", "/", Call::asset, Scope::anyone},
    Route{"GET", "/dashboard.css", Call::asset, Scope::anyone},
    Route{"GET", "/dashboard.js", Call::asset, Scope::anyone},
    Route{"GET", "/installs.js", Call::asset, Scope::anyone},
    Route{"GET", "/page.js", Call::asset, Scope::anyone},
    Route{"GET", "/chart.js", Call::asset, Scope::anyone},
    Route{"GET", "/favicon.svg", Call::asset, Scope::anyone},
};

struct RouteMatch {
  const Route* route = nullptr;             // null: no route of this path takes the method
  std::vector<std::string_view> variables;  // the segments for those in braces, percent-encoded
  std::vector<std::string> allowed;  // without a route: the path's methods; empty: an unknown path
};

// HEAD matches the routes of GET.
RouteMatch match_route(std::string_view method, const std::vector<std::string_view>& segments);

}  // namespace credits::http
