#include "http/server/etag.hpp"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "http/server/text.hpp"

namespace credits::http {

namespace {

constexpr std::string_view weak_mark = "W/";
constexpr std::size_t tag_bytes = 12;

std::string_view without_mark(std::string_view etag) {
  if (etag.starts_with(weak_mark)) etag.remove_prefix(weak_mark.size());
  return etag;
}

bool may_be_in_tag(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte > ' ' && byte != '"' && byte != 0x7f;
}

// Removes the entity tag at the start of `text` and returns it; empty if there is none.
std::string_view take_tag(std::string_view& text) {
  const std::string_view opaque = without_mark(text);
  if (!opaque.starts_with('"')) return {};
  const auto end = std::find_if_not(opaque.begin() + 1, opaque.end(), may_be_in_tag);
  if (end == opaque.end() || *end != '"') return {};
  const auto rest = static_cast<std::size_t>(opaque.end() - end) - 1;
  const std::string_view tag = text.substr(0, text.size() - rest);
  text.remove_prefix(tag.size());
  return tag;
}

// A tag may contain a comma. Empty members of a list are ignored (RFC 9110, section 5.6.1.2).
std::optional<std::vector<std::string_view>> tags_of(std::string_view list) {
  std::vector<std::string_view> tags;
  bool is_after_comma = true;
  for (list = trimmed(list); !list.empty(); list = trimmed(list)) {
    if (list.front() == ',') {
      list.remove_prefix(1);
      is_after_comma = true;
      continue;
    }
    const std::string_view tag = take_tag(list);
    if (tag.empty() || !is_after_comma) return std::nullopt;
    tags.push_back(tag);
    is_after_comma = false;
  }
  return tags;
}

}  // namespace

std::string strong_etag_of(std::string_view content) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  ::SHA256(reinterpret_cast<const unsigned char*>(content.data()), content.size(), digest.data());
  std::string text = "\"";
  for (std::size_t i = 0; i < tag_bytes; ++i) {
    std::array<char, 3> digits{};
    std::snprintf(digits.data(), digits.size(), "%02x", digest[i]);
    text += digits.data();
  }
  return text + "\"";
}

std::string weak_etag_of(std::string_view content) {
  return std::string{weak_mark} + strong_etag_of(content);
}

bool is_strong(std::string_view etag) { return etag.starts_with('"'); }

bool is_known_by(std::string_view list, std::string_view etag) {
  if (trimmed(list) == "*") return true;
  const auto known = split(list, ',');
  return std::any_of(known.begin(), known.end(), [etag](std::string_view one) {
    return without_mark(trimmed(one)) == without_mark(etag);
  });
}

bool TagList::names(std::string_view etag) const {
  if (is_any) return true;
  return is_strong(etag) && std::find(tags.begin(), tags.end(), etag) != tags.end();
}

bool TagList::names_weakly(std::string_view etag) const {
  return is_any || std::any_of(tags.begin(), tags.end(), [etag](std::string_view tag) {
           return without_mark(tag) == without_mark(etag);
         });
}

bool TagList::has_strong() const { return std::any_of(tags.begin(), tags.end(), is_strong); }

std::optional<TagList> parse_tag_list(const std::vector<std::string_view>& values) {
  TagList parsed;
  parsed.is_any = values.size() == 1 && trimmed(values.front()) == "*";
  if (parsed.is_any) return parsed;
  for (const std::string_view value : values) {
    const auto tags = tags_of(value);
    if (!tags) return std::nullopt;
    parsed.tags.insert(parsed.tags.end(), tags->begin(), tags->end());
  }
  return parsed.tags.empty() ? std::nullopt : std::optional{parsed};
}

}  // namespace credits::http
