#include "http/api/assets.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>
#include <vector>

#include "http/server/compression.hpp"
#include "http/server/etag.hpp"

// The symbols that assets.S defines.
#define CREDITS_ASSET(name)               \
  extern "C" const char credits_##name[]; \
  extern "C" const char credits_##name##_end[];

CREDITS_ASSET(openapi_yaml)
CREDITS_ASSET(index_html)
CREDITS_ASSET(dashboard_css)
CREDITS_ASSET(dashboard_js)
CREDITS_ASSET(installs_js)
CREDITS_ASSET(page_js)
CREDITS_ASSET(favicon_svg)
CREDITS_ASSET(chart_js)

#undef CREDITS_ASSET

namespace credits::http {

namespace {

struct Asset {
  std::string_view path;
  std::string_view content_type;
  const char* begin;
  const char* end;

  std::string_view content() const { return {begin, static_cast<std::size_t>(end - begin)}; }
};

const std::array assets{
    Asset{"/", "text/html; charset=utf-8", credits_index_html, credits_index_html_end},
    Asset{"/dashboard.css", "text/css; charset=utf-8", credits_dashboard_css,
          credits_dashboard_css_end},
    Asset{"/dashboard.js", "text/javascript; charset=utf-8", credits_dashboard_js,
          credits_dashboard_js_end},
    Asset{"/installs.js", "text/javascript; charset=utf-8", credits_installs_js,
          credits_installs_js_end},
    Asset{"/page.js", "text/javascript; charset=utf-8", credits_page_js, credits_page_js_end},
    Asset{"/chart.js", "text/javascript; charset=utf-8", credits_chart_js, credits_chart_js_end},
    Asset{"/favicon.svg", "image/svg+xml", credits_favicon_svg, credits_favicon_svg_end},
    Asset{"/openapi.yaml", "application/yaml", credits_openapi_yaml, credits_openapi_yaml_end},
};

const Asset& find(std::string_view path) {
  const auto found = std::find_if(assets.begin(), assets.end(),
                                  [path](const Asset& asset) { return asset.path == path; });
  if (found == assets.end()) throw std::logic_error{"a route without an asset"};
  return *found;
}

struct Prepared {
  explicit Prepared(const Asset& asset) : etag{weak_etag_of(asset.content())} {
    if (is_worth_compressing(asset.content_type, asset.content().size())) {
      compressed = Gzip{}.compress(asset.content(), true);
    }
  }

  std::string etag;
  std::string compressed{};  // empty if compression does not pay
};

// Prepares all assets at the first request.
const Prepared& prepared_of(const Asset& asset) {
  static const std::vector<Prepared> all{assets.begin(), assets.end()};
  return all[static_cast<std::size_t>(&asset - assets.data())];
}

}  // namespace

HttpResponse asset_at(std::string_view path, bool takes_gzip) {
  const Asset& asset = find(path);
  const Prepared& prepared = prepared_of(asset);
  HttpResponse response{200, std::string{asset.content_type}};
  response.is_gzip = takes_gzip && !prepared.compressed.empty();
  response.body = response.is_gzip ? prepared.compressed : asset.content();
  response.headers = {
      {"Content-Security-Policy",
       "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src "
       "'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
      {"X-Content-Type-Options", "nosniff"},
      {"Referrer-Policy", "no-referrer"},
      {"Vary", "Accept-Encoding"}};
  response.cache_control = "no-cache";
  response.etag = prepared.etag;
  return response;
}

std::string_view openapi_yaml() { return find("/openapi.yaml").content(); }

}  // namespace credits::http
