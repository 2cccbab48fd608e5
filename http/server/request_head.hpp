// A request's line and headers, as the framer has read them: every name, value and token is known
// to follow the grammar of RFC 9110 and 9112.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace credits::http {

// The header fields that somebody here asks for.
enum class Field : std::uint8_t {
  other,
  accept_encoding,
  authorization,
  connection,
  content_encoding,
  content_length,
  content_type,
  expect,
  forwarded,  // Forwarded, X-Forwarded-*, X-Real-IP or Via: a proxy has passed the request on
  host,
  idempotency_key,
  if_match,
  if_none_match,
  origin,
  sec_fetch_site,
  transfer_encoding,
};

Field field_of(std::string_view name);

class RequestHead {
 public:
  std::string_view method() const { return view(method_); }
  // In origin form or `*`: of an absolute one, what follows its authority.
  std::string_view target() const { return view(target_); }
  // 0 or 1, of HTTP/1.
  int minor_version() const { return minor_version_; }
  // Of an absolute target, else as the Host header says; nothing in HTTP/1.0 without one.
  std::optional<std::string_view> host() const;

  std::vector<std::string_view> values(Field field) const;
  std::optional<std::string_view> first(Field field) const;
  bool has(Field field) const { return first(field).has_value(); }

  // Whether the client takes the connection for one that goes on after the answer.
  bool keeps_alive() const { return keeps_alive_; }
  // The client waits for `100 Continue` before it sends the body.
  bool expects_continue() const { return expects_continue_; }
  // Whether a body follows, be it of no bytes in chunks.
  bool announces_body() const { return is_chunked_ || content_length_ > 0; }

 private:
  friend class Framer;

  // In text_, which may move while it grows.
  struct Place {
    std::uint32_t begin = 0;
    std::uint32_t size = 0;
  };
  struct Header {
    Field field = Field::other;
    Place value{};
  };

  std::string_view view(Place place) const {
    return std::string_view{text_}.substr(place.begin, place.size);
  }

  std::string text_;
  Place method_{};
  Place target_{};
  std::optional<Place> authority_{};  // of an absolute target
  std::vector<Header> headers_;
  std::uint64_t content_length_ = 0;  // the greatest number where it is beyond all
  int minor_version_ = 1;
  bool keeps_alive_ = true;
  bool expects_continue_ = false;
  bool is_chunked_ = false;
};

}  // namespace credits::http
