// Turns the actors' answers into HTTP responses, or into results of a batch.
#pragma once

#include <string_view>

#include "actors/operation.hpp"
#include "http/codec/problem.hpp"
#include "http/codec/response.hpp"
#include "http/server/message.hpp"

namespace credits::http {

// The status and body of an answer without a problem, as stored for replays.
actors::Recorded record(const actors::Answer& answer);

// The operation that an answer belongs to.
struct Subject {
  std::string_view install_id;
  bool is_read = false;  // it changes nothing
};

HttpResponse to_response(const Problem& problem);
HttpResponse to_response(const actors::Answer& answer, const Subject& subject);

codec::Result to_result(const actors::Answer& answer, const Subject& subject);
codec::Result to_result(const Problem& problem);

}  // namespace credits::http
