#include "http/raw_headers.hpp"

#include <algorithm>

#include "http/text.hpp"

namespace credits::http {

namespace {

std::vector<std::string>* find(RawHeaders& headers, std::string_view name) {
  if (equal_without_case(name, "Idempotency-Key")) return &headers.idempotency_keys;
  if (equal_without_case(name, "Authorization")) return &headers.authorization;
  if (equal_without_case(name, "Host")) return &headers.hosts;
  if (equal_without_case(name, "Origin")) return &headers.origins;
  if (equal_without_case(name, "Sec-Fetch-Site")) return &headers.fetch_sites;
  return nullptr;
}

void take_valued(RawHeaders& headers, std::string_view name, std::string_view value) {
  if (equal_without_case(name, "Content-Length")) headers.content_lengths.push_back(value);
  if (equal_without_case(name, "Content-Type")) headers.content_types.push_back(value);
  if (equal_without_case(name, "Transfer-Encoding")) headers.transfer_encodings.push_back(value);
  if (equal_without_case(name, "Connection")) headers.closes |= lists(value, "close");
  if (equal_without_case(name, "Accept-Encoding")) headers.accepts_encodings = true;
}

void take(RawHeaders& headers, std::string_view name, std::string_view value) {
  if (auto* const values = find(headers, name)) {
    values->emplace_back(value);
  } else if (!value.empty()) {
    take_valued(headers, name, value);
  }
}

const char* fault_of(std::string_view head) {
  if (head.find('\0') != std::string_view::npos) return "the head has a NUL";
  for (std::size_t at = head.find('\n'); at != std::string_view::npos;
       at = head.find('\n', at + 1)) {
    if (at == 0 || head[at - 1] != '\r') return "a line of the head ends without CR";
    const std::string_view next = head.substr(at + 1, head.find(':', at) - at);
    if (next.starts_with(' ') || next.starts_with('\t')) return "a header begins with a blank";
    if (next.ends_with(" :") || next.ends_with("\t:")) return "a blank stands before a colon";
  }
  return nullptr;
}

}  // namespace

bool RawHeaders::announce_body() const {
  return !transfer_encodings.empty() ||
         (!content_lengths.empty() && content_lengths.front() != "0");
}

bool RawHeaders::may_be_browser() const {
  return accepts_encodings || !origins.empty() || !fetch_sites.empty();
}

RawHeaders raw_headers(std::string_view head) {
  RawHeaders headers;
  headers.fault = fault_of(head);
  // The request line is none of them.
  for (const std::string_view line :
       split(head.substr(std::min(head.find('\n'), head.size())), '\n')) {
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    take(headers, line.substr(0, colon), trimmed(line.substr(colon + 1)));
  }
  return headers;
}

}  // namespace credits::http
