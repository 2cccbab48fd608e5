#include "http/etag.hpp"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "http/text.hpp"

namespace credits::http {

namespace {

constexpr std::string_view weak_mark = "W/";
constexpr std::size_t tag_bytes = 12;

std::string_view without_mark(std::string_view etag) {
  if (etag.starts_with(weak_mark)) etag.remove_prefix(weak_mark.size());
  return etag;
}

}  // namespace

std::string weak_etag_of(std::string_view content) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  ::SHA256(reinterpret_cast<const unsigned char*>(content.data()), content.size(), digest.data());
  std::string text = "W/\"";
  for (std::size_t i = 0; i < tag_bytes; ++i) {
    std::array<char, 3> digits{};
    std::snprintf(digits.data(), digits.size(), "%02x", digest[i]);
    text += digits.data();
  }
  return text + "\"";
}

bool is_known_by(std::string_view list, std::string_view etag) {
  if (trimmed(list) == "*") return true;
  const auto known = split(list, ',');
  return std::any_of(known.begin(), known.end(), [etag](std::string_view one) {
    return without_mark(trimmed(one)) == without_mark(etag);
  });
}

}  // namespace credits::http
