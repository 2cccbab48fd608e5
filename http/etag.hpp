// Entity tags, by which a client tells which state of something it has; see RFC 9110,
// section 8.8.3.
#pragma once

#include <string>
#include <string_view>

namespace credits::http {

// Of content that may be sent compressed.
std::string weak_etag_of(std::string_view content);

// Whether the list of `If-None-Match` has `etag`, weak or not, or is `*`.
bool is_known_by(std::string_view list, std::string_view etag);

}  // namespace credits::http
