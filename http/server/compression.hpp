// gzip for bodies. The implementation uses internals of cpp-httplib, which no other file depends
// on.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "http/server/message.hpp"

namespace credits::http {

// Whether `coding` names gzip.
bool is_gzip(std::string_view coding);

// Whether `accept_encoding`, the header's value, allows gzip (RFC 9110, section 12.5.3).
bool accepts_gzip(std::string_view accept_encoding);

// Whether the client of `request` takes gzip.
inline bool takes_gzip(const HttpRequest& request) {
  return request.accept_encoding && accepts_gzip(*request.accept_encoding);
}

// Whether compression pays for a complete answer of this type and size.
bool is_worth_compressing(std::string_view content_type, std::size_t bytes);

// Decompresses `compressed`; nullopt if it is not complete, valid gzip. Throws std::length_error if
// the result would exceed `bytes_max`.
std::optional<std::string> gunzip(std::string_view compressed, std::size_t bytes_max);

// Compresses one answer, piece by piece.
class Gzip {
 public:
  Gzip();
  ~Gzip();
  Gzip(Gzip&&) noexcept;
  Gzip& operator=(Gzip&&) noexcept;

  // Adds `piece`, and returns the compressed bytes that are ready. Throws std::runtime_error.
  std::string compress(std::string_view piece, bool is_last);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace credits::http
