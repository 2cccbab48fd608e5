#include "http/plain_request.hpp"

#include <charconv>
#include <cstddef>

#include "http/text.hpp"

namespace credits::http {

namespace {

constexpr std::string_view line_end = "\r\n";
constexpr std::string_view version = " HTTP/1.1";

std::string_view take_line(std::string_view& rest) {
  const std::string_view line = rest.substr(0, rest.find(line_end));
  rest.remove_prefix(line.size() + line_end.size());
  return line;
}

// `Connection: keep-alive` says what is so anyway, and some clients send it with each request.
bool is_unusual(std::string_view name, std::string_view value) {
  return name.empty() || name.find_first_of(" \t") != std::string_view::npos ||
         equal_without_case(name, "Transfer-Encoding") || equal_without_case(name, "Expect") ||
         equal_without_case(name, "Upgrade") ||
         (equal_without_case(name, "Connection") && !equal_without_case(value, "keep-alive"));
}

std::optional<std::size_t> length_of(std::string_view text) {
  std::size_t length = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return length;
}

// The length of the body that these headers announce; nothing if they are unusual.
std::optional<std::size_t> body_length(std::string_view headers) {
  std::optional<std::size_t> length;
  while (!headers.empty()) {
    const std::string_view line = take_line(headers);
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) return std::nullopt;
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = trimmed(line.substr(colon + 1));
    if (is_unusual(name, value)) return std::nullopt;
    if (!equal_without_case(name, "Content-Length")) continue;
    if (length) return std::nullopt;
    length = length_of(value);
    if (!length) return std::nullopt;
  }
  return length.value_or(0);
}

}  // namespace

std::optional<PlainRequest> plain_request(std::string_view bytes) {
  const std::size_t head_size = bytes.find("\r\n\r\n");
  if (head_size == std::string_view::npos) return std::nullopt;
  std::string_view head = bytes.substr(0, head_size + line_end.size());
  std::string_view line = take_line(head);
  if (!line.ends_with(version)) return std::nullopt;
  line.remove_suffix(version.size());
  const std::size_t blank = line.find(' ');
  if (blank == std::string_view::npos) return std::nullopt;
  const auto length = body_length(head);
  const std::size_t available = bytes.size() - head_size - 2 * line_end.size();
  if (!length || *length > available) return std::nullopt;
  const PlainRequest request{line.substr(0, blank), line.substr(blank + 1)};
  const bool takes_body = request.method == "POST" || request.method == "PUT";
  if (*length > 0 && !takes_body) return std::nullopt;
  return request;
}

}  // namespace credits::http
