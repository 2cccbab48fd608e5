// A request's first line and headers. The framer has checked that every name, value and token
// follows the grammar of RFC 9110 and 9112.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace credits::http {

// The header fields that this server uses.
enum class Field : std::uint8_t {
  other,
  accept_encoding,
  authorization,
  connection,
  content_encoding,
  content_length,
  content_type,
  expect,
  forwarded,  // Forwarded, X-Forwarded-*, X-Real-IP or Via: a proxy has forwarded the request
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
  // In origin form or `*`; an absolute target is reduced to the part after its authority.
  std::string_view target() const { return view(target_); }
  // 0 for HTTP/1.0, else 1.
  int minor_version() const { return minor_version_; }
  // The host of an absolute target, else the Host header; nullopt in HTTP/1.0 without either.
  std::optional<std::string_view> host() const;

  std::vector<std::string_view> values(Field field) const;
  std::optional<std::string_view> first(Field field) const;
  bool has(Field field) const { return first(field).has_value(); }

  // Whether the client expects the connection to stay open after the answer.
  bool keeps_alive() const { return keeps_alive_; }
  // Whether the client waits for `100 Continue` before it sends the body.
  bool expects_continue() const { return expects_continue_; }
  // Whether a body follows; a chunked one may be empty.
  bool announces_body() const { return is_chunked_ || content_length_ > 0; }

 private:
  friend class Framer;

  // A range of text_, which may move while it grows.
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
  std::uint64_t content_length_ = 0;  // the largest number if the header's value is larger still
  int minor_version_ = 1;
  bool keeps_alive_ = true;
  bool expects_continue_ = false;
  bool is_chunked_ = false;
};

}  // namespace credits::http
