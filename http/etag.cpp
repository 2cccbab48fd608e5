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

template <class Fits>
bool any_of(std::string_view list, Fits fits) {
  if (trimmed(list) == "*") return true;
  const auto etags = split(list, ',');
  return std::any_of(etags.begin(), etags.end(),
                     [&](std::string_view etag) { return fits(trimmed(etag)); });
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

bool is_matched(std::string_view list, std::string_view etag) {
  return any_of(list, [etag](std::string_view known) { return known == etag; });
}

bool is_known_by(std::string_view list, std::string_view etag) {
  return any_of(
      list, [etag](std::string_view known) { return without_mark(known) == without_mark(etag); });
}

}  // namespace credits::http
