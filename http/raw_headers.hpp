// A request's headers as they were sent: the library decodes what looks like a percent-escape,
// takes what others would read another way, and compares each name in its map letter by letter.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace credits::http {

// What is read of a head. The views are into it.
struct RawHeaders {
  std::vector<std::string> idempotency_keys{};
  std::vector<std::string> authorization{};
  std::vector<std::string> hosts{};
  std::vector<std::string> origins{};
  std::vector<std::string> fetch_sites{};
  std::vector<std::string_view> content_lengths{};  // these without those that are empty
  std::vector<std::string_view> content_types{};
  std::vector<std::string_view> transfer_encodings{};
  bool closes = false;
  bool accepts_encodings = false;
  const char* fault = nullptr;  // of how the head is written: what others might read another way

  bool announce_body() const;

  // A page can leave out none of these: a browser sends the first with every request, and one of
  // the others with those that a page makes.
  bool may_be_browser() const;
};

// `head` is the request line and the headers, with their line ends.
RawHeaders raw_headers(std::string_view head);

}  // namespace credits::http
