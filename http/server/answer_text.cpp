#include "http/server/answer_text.hpp"

#include <array>
#include <charconv>
#include <ctime>

namespace credits::http {

namespace {

struct Reason {
  int status;
  std::string_view text;
};

constexpr Reason reasons[] = {
    {200, "OK"},
    {201, "Created"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {409, "Conflict"},
    {410, "Gone"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
};

std::string_view reason_of(int status) {
  for (const Reason& reason : reasons) {
    if (reason.status == status) return reason.text;
  }
  return "";  // allowed by RFC 9112, section 4
}

template <class Number>
void append_number(std::string& text, Number number, int base = 10) {
  std::array<char, 24> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number, base).ptr;
  text.append(digits.data(), end);
}

void append_header(std::string& text, std::string_view name, std::string_view value) {
  text.append(name).append(": ").append(value).append("\r\n");
}

}  // namespace

std::string http_date(std::chrono::sys_seconds time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 40> text{};
  const std::size_t size =
      std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return {text.data(), size};
}

void append_answer(std::string& text, const HttpResponse& response, const AnswerForm& form,
                   std::string_view date) {
  text.append("HTTP/1.1 ");
  append_number(text, response.status);
  text.append(" ").append(reason_of(response.status)).append("\r\n");
  append_header(text, "Date", date);
  if (form.keeps_alive) {
    text.append("Connection: keep-alive\r\nKeep-Alive: timeout=");
    append_number(text, form.announced_idle_time.count());
    text.append("\r\n");
  } else {
    append_header(text, "Connection", "close");
  }
  const bool has_content = response.status != 304;
  if (has_content) append_header(text, "Content-Type", response.content_type);
  if (has_content && response.is_gzip) append_header(text, "Content-Encoding", "gzip");
  if (!has_content) {
    // A Content-Length here would be that of the content the client already has.
  } else if (!response.next_chunk) {
    text.append("Content-Length: ");
    append_number(text, response.body.size());
    text.append("\r\n");
  } else if (form.takes_chunks) {
    append_header(text, "Transfer-Encoding", "chunked");
  }
  append_header(text, "Cache-Control", response.cache_control);
  if (!response.etag.empty()) append_header(text, "ETag", response.etag);
  for (const auto& [name, value] : response.headers) append_header(text, name, value);
  text.append("\r\n");
  if (!form.is_for_head) text.append(response.body);
}

void append_chunk(std::string& text, std::string_view bytes) {
  append_number(text, bytes.size(), 16);
  text.append("\r\n").append(bytes).append("\r\n");
}

}  // namespace credits::http
