// From what the actors answer to what the client reads, be it alone or in a batch.
#pragma once

#include "actors/operation.hpp"
#include "http/codec/response.hpp"
#include "http/message.hpp"
#include "http/problem.hpp"

namespace credits::http {

// For answers that are kept word for word: of an operation that was done.
actors::Recorded record(const actors::Answer& answer);

HttpResponse to_response(const actors::Answer& answer);

codec::Result to_result(const actors::Answer& answer);
codec::Result to_result(const Problem& problem);

}  // namespace credits::http
