// An answer as the bytes of HTTP/1.1: status line, headers, body.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "http/server/message.hpp"

namespace credits::http {

// What the answer's head depends on besides the answer.
struct AnswerForm {
  bool goes_on = true;  // the connection, after it
  std::chrono::seconds announced_idle_time{0};
  bool is_for_head = false;  // it has no body, though its head tells of one
  bool takes_chunks = true;  // HTTP/1.0 does not
  bool is_compressed = false;
};

// `Sat, 01 Nov 2026 12:00:00 GMT`; see RFC 9110, section 5.6.7.
std::string http_date(std::chrono::sys_seconds time);

// Appends the answer to `text`: of one that comes in chunks, the head.
void append_answer(std::string& text, const HttpResponse& response, const AnswerForm& form,
                   std::string_view date);

// Appends one chunk; an empty one says that there are no more.
void append_chunk(std::string& text, std::string_view bytes);

}  // namespace credits::http
