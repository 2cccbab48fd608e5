// Which calls there are. http/openapi.yaml describes the same ones; a test compares the two.
#pragma once

#include <array>
#include <optional>
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
  get_quota,
  put_quota,
  healthz,
  readyz,
  openapi,
};

struct Route {
  std::string_view method;
  std::string_view path;  // a segment in braces stands for any one segment
  Call call;
};

inline constexpr std::array routes{
    Route{"POST", "/v1/installs/{install_id}/commit", Call::commit},
    Route{"POST", "/v1/installs/{install_id}/plan", Call::plan},
    Route{"POST", "/v1/installs/{install_id}/reservations", Call::reserve},
    Route{"POST", "/v1/installs/{install_id}/reservations/{reservation_id}/commit", Call::settle},
    Route{"DELETE", "/v1/installs/{install_id}/reservations/{reservation_id}", Call::release},
    Route{"POST", "/v1/batch", Call::batch},
    Route{"GET", "/v1/installs/{install_id}", Call::get_install},
    Route{"PUT", "/v1/installs/{install_id}", Call::put_install},
    Route{"GET", "/v1/installs/{install_id}/entries", Call::list_entries},
    Route{"GET", "/v1/installs", Call::list_installs},
    Route{"GET", "/v1/snapshot", Call::get_snapshot},
    Route{"GET", "/v1/quota", Call::get_quota},
    Route{"PUT", "/v1/quota", Call::put_quota},
    Route{"GET", "/healthz", Call::healthz},
    Route{"GET", "/readyz", Call::readyz},
    Route{"GET", "/openapi.yaml", Call::openapi},
};

struct RouteMatch {
  std::optional<Call> call;                 // none: no route takes the method
  std::vector<std::string_view> variables;  // what stands for segments in braces, percent-encoded
  std::vector<std::string> allowed;         // methods that the path takes; empty: there is no path
};

// HEAD is answered where GET is.
RouteMatch match_route(std::string_view method, const std::vector<std::string_view>& segments);

}  // namespace credits::http
