// gzip, for answers that are worth it; by the HTTP library, of whose internals this file alone
// knows.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace credits::http {

// Whether it is the name of this coding.
bool is_gzip(std::string_view coding);

// Whether `accept_encoding`, a header's value, takes gzip; see RFC 9110, section 12.5.3.
bool accepts_gzip(std::string_view accept_encoding);

// Whether a whole answer of this type and size gets smaller by enough.
bool is_worth_compressing(std::string_view content_type, std::size_t bytes);

// What `compressed` becomes; nothing if it is not gzip. Throws std::length_error
// if it becomes more than `bytes_max`.
std::optional<std::string> gunzip(std::string_view compressed, std::size_t bytes_max);

// One answer, piece by piece.
class Gzip {
 public:
  Gzip();
  ~Gzip();
  Gzip(Gzip&&) noexcept;
  Gzip& operator=(Gzip&&) noexcept;

  // What there is of the compressed answer once `piece` is in it. Throws std::runtime_error.
  std::string compress(std::string_view piece, bool is_last);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace credits::http
