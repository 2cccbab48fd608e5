// A request's head: the two that read it, the event loop to see whether a request has come whole,
// and the server, never take it for two different requests.
#include <optional>

#include "http/plain_request.hpp"
#include "http/raw_headers.hpp"
#include "tests/fuzz/fuzz.hpp"

void credits::tests::try_bytes(std::string_view bytes) {
  const std::size_t end = bytes.find("\r\n\r\n");
  const http::RawHeaders headers =
      http::raw_headers(end == std::string_view::npos ? bytes : bytes.substr(0, end + 4));
  const auto plain = http::plain_request(bytes);
  if (!plain || headers.fault) return;
  expect(bytes.starts_with(plain->method), "the method is the first word");
  expect(plain->method.find(' ') == std::string_view::npos, "the method has no blank");
  expect(headers.transfer_encodings.empty(), "what comes in chunks is not plain");
  expect(headers.content_lengths.size() <= 1, "what has two lengths is not plain");
  expect(!headers.closes, "what ends its connection is not plain");
  const bool takes_body = plain->method == "POST" || plain->method == "PUT";
  for (const std::string_view length : headers.content_lengths) {
    expect(takes_body || length.find_first_not_of('0') == std::string_view::npos,
           "what takes no body has none");
  }
}
