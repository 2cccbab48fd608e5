#include "http/server/request_head.hpp"

#include <algorithm>

#include "http/server/text.hpp"

namespace credits::http {

namespace {

struct Known {
  std::string_view name;
  Field field;
};

constexpr Known known_fields[] = {
    {"Accept-Encoding", Field::accept_encoding},
    {"Authorization", Field::authorization},
    {"Connection", Field::connection},
    {"Content-Encoding", Field::content_encoding},
    {"Content-Length", Field::content_length},
    {"Content-Type", Field::content_type},
    {"Expect", Field::expect},
    {"Forwarded", Field::forwarded},
    {"Host", Field::host},
    {"Idempotency-Key", Field::idempotency_key},
    {"If-Match", Field::if_match},
    {"If-None-Match", Field::if_none_match},
    {"Origin", Field::origin},
    {"Sec-Fetch-Site", Field::sec_fetch_site},
    {"Transfer-Encoding", Field::transfer_encoding},
    {"Via", Field::forwarded},
    {"X-Real-IP", Field::forwarded},
};

constexpr std::string_view forwarded_prefix = "X-Forwarded-";

}  // namespace

Field field_of(std::string_view name) {
  for (const Known& known : known_fields) {
    if (equal_without_case(name, known.name)) return known.field;
  }
  const bool is_forwarded =
      equal_without_case(name.substr(0, forwarded_prefix.size()), forwarded_prefix);
  return is_forwarded ? Field::forwarded : Field::other;
}

std::optional<std::string_view> RequestHead::host() const {
  return authority_ ? view(*authority_) : first(Field::host);
}

std::vector<std::string_view> RequestHead::values(Field field) const {
  std::vector<std::string_view> found;
  for (const Header& header : headers_) {
    if (header.field == field) found.push_back(view(header.value));
  }
  return found;
}

std::optional<std::string_view> RequestHead::first(Field field) const {
  const auto found = std::find_if(headers_.begin(), headers_.end(),
                                  [field](const Header& header) { return header.field == field; });
  return found == headers_.end() ? std::nullopt : std::optional{view(found->value)};
}

}  // namespace credits::http
