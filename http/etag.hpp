// Entity tags, by which a client tells which state of something it has; see RFC 9110,
// section 8.8.3.
#pragma once

#include <string>
#include <string_view>

namespace credits::http {

// Of content that is sent as it is, and of content that may be sent compressed.
std::string strong_etag_of(std::string_view content);
std::string weak_etag_of(std::string_view content);

// Whether the list of `If-Match` has the very `etag`, or is `*`; no weak one is the very same.
bool is_matched(std::string_view list, std::string_view etag);

// Whether that of `If-None-Match` has it, weak or not, or is `*`.
bool is_known_by(std::string_view list, std::string_view etag);

}  // namespace credits::http
