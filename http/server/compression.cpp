#include "http/server/compression.hpp"

#include <httplib.h>

#include <charconv>
#include <optional>
#include <stdexcept>
#include <utility>

#include "http/server/text.hpp"

namespace credits::http {

namespace {

constexpr std::size_t compression_bytes_min = 1'024;

// Whether the parameters of a coding include `q=0`, which refuses the coding.
bool is_refused(std::string_view parameters) {
  for (const std::string_view parameter : split(parameters, ';')) {
    const std::string_view text = trimmed(parameter);
    if (!equal_without_case(text.substr(0, 2), "q=")) continue;
    const std::string_view weight = text.substr(2);
    return !weight.empty() && weight.find_first_not_of("0.") == std::string_view::npos;
  }
  return false;
}

// The uncompressed size in gzip's trailer (RFC 1952). It reveals truncated input, which the library
// accepts.
std::optional<std::size_t> size_in_trailer(std::string_view compressed) {
  constexpr std::size_t least_bytes = 18;
  if (compressed.size() < least_bytes) return std::nullopt;
  std::size_t size = 0;
  for (std::size_t i = 1; i <= 4; ++i) {
    size = size << 8U | static_cast<unsigned char>(compressed[compressed.size() - i]);
  }
  return size;
}

}  // namespace

bool is_gzip(std::string_view coding) {
  return equal_without_case(coding, "gzip") || equal_without_case(coding, "x-gzip");
}

bool accepts_gzip(std::string_view accept_encoding) {
  std::optional<bool> any;
  for (const std::string_view part : split(accept_encoding, ',')) {
    const std::string_view coding = trimmed(part.substr(0, part.find(';')));
    const std::string_view parameters = part.substr(std::min(part.find(';'), part.size()));
    if (is_gzip(coding)) {
      return !is_refused(parameters);
    }
    if (coding == "*") any = !is_refused(parameters);
  }
  return any.value_or(false);
}

bool is_worth_compressing(std::string_view content_type, std::size_t bytes) {
  if (bytes < compression_bytes_min) return false;
  const std::string_view type = trimmed(content_type.substr(0, content_type.find(';')));
  return type.starts_with("text/") || type == "application/json" ||
         type == "application/javascript" || type == "application/yaml" || type == "image/svg+xml";
}

std::optional<std::string> gunzip(std::string_view compressed, std::size_t bytes_max) {
  std::string whole;
  bool fits = true;
  httplib::detail::gzip_decompressor decompressor;
  const bool worked = decompressor.decompress(compressed.data(), compressed.size(),
                                              [&](const char* data, std::size_t size) {
                                                fits = size <= bytes_max - whole.size();
                                                if (fits) whole.append(data, size);
                                                return fits;
                                              });
  if (!fits) throw std::length_error{"an unpacked body is too large"};
  const bool is_whole = worked && size_in_trailer(compressed) == whole.size();
  return is_whole ? std::optional{std::move(whole)} : std::nullopt;
}

class Gzip::Impl : public httplib::detail::gzip_compressor {};

Gzip::Gzip() : impl_{std::make_unique<Impl>()} {}
Gzip::~Gzip() = default;
Gzip::Gzip(Gzip&&) noexcept = default;
Gzip& Gzip::operator=(Gzip&&) noexcept = default;

std::string Gzip::compress(std::string_view piece, bool is_last) {
  std::string compressed;
  const bool worked = impl_->compress(piece.data(), piece.size(), is_last,
                                      [&compressed](const char* data, std::size_t size) {
                                        compressed.append(data, size);
                                        return true;
                                      });
  if (!worked) throw std::runtime_error{"an answer cannot be compressed"};
  return compressed;
}

}  // namespace credits::http
