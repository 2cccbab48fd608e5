// Serialises answers as HTTP/1.1: status line, headers, body.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "http/server/message.hpp"

namespace credits::http {

// How the connection and the request affect the form of an answer.
struct AnswerForm {
  bool keeps_alive = true;  // whether the connection stays open after the answer
  std::chrono::seconds announced_idle_time{0};
  bool is_for_head = false;  // answers HEAD: the headers describe a body that is not sent
  bool takes_chunks = true;  // whether the client understands chunks; HTTP/1.0 does not
};

// `Sat, 01 Nov 2026 12:00:00 GMT`; see RFC 9110, section 5.6.7.
std::string http_date(std::chrono::sys_seconds time);

// Appends the answer to `text`; only its head if the body follows in chunks.
void append_answer(std::string& text, const HttpResponse& response, const AnswerForm& form,
                   std::string_view date);

// Appends one chunk; an empty chunk ends the body.
void append_chunk(std::string& text, std::string_view bytes);

}  // namespace credits::http
