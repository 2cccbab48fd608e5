// Entity tags, which identify the state of a resource (RFC 9110, section 8.8.3).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace credits::http {

// The tag of content that may be sent compressed.
std::string weak_etag_of(std::string_view content);

// The tag of content that is never sent compressed.
std::string strong_etag_of(std::string_view content);

bool is_strong(std::string_view etag);

// Whether `list`, the value of `If-None-Match`, contains `etag`, weak or not, or is `*`.
bool is_known_by(std::string_view list, std::string_view etag);

// The states that `If-Match` names.
struct IfMatch {
  bool is_any = false;                        // `*`
  std::vector<std::string_view> strong_tags;  // weak tags match nothing (section 8.8.3.2)

  bool names(std::string_view etag) const;
};

// Reads the values of all `If-Match` headers of a request as one list; nullopt if they are neither
// `*` nor a list of entity tags.
std::optional<IfMatch> parse_if_match(const std::vector<std::string_view>& values);

}  // namespace credits::http
