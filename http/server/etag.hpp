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

// The states that `If-Match` or `If-None-Match` names.
struct TagList {
  bool is_any = false;  // `*`
  std::vector<std::string_view> tags;

  // As `If-Match` compares them: weak tags match nothing (section 8.8.3.2).
  bool names(std::string_view etag) const;
  // As `If-None-Match` compares them: weak or not.
  bool names_weakly(std::string_view etag) const;
  bool has_strong() const;
};

// Reads the values of all headers of one name as one list; nullopt if they are neither `*` nor a
// list of entity tags.
std::optional<TagList> parse_tag_list(const std::vector<std::string_view>& values);

}  // namespace credits::http
