// Decides where a request begins and ends, and whether it is HTTP/1 at all (RFC 9112); no other
// code does. It refuses whatever two readers could read differently, so that no byte of one request
// is ever taken for part of another. After a refusal the connection must end.
//
// A state machine over bytes, without sockets, clocks or threads: the result does not depend on how
// a request is cut into pieces.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "http/server/request_head.hpp"

namespace credits::http {

struct FramingLimits {
  std::size_t target_bytes_max = 8'000;      // beyond: 414
  std::size_t head_bytes_max = 64 * 1'024;   // the header lines; beyond: 431
  std::size_t headers_max = 100;             // beyond: 431
  std::size_t chunk_line_bytes_max = 1'024;  // size and extensions of a chunk
  std::size_t trailer_bytes_max = 8'192;
};

// The fault of a refused request, and the status to answer.
struct RequestFault {
  int status = 400;
  std::string detail{};  // for people
};

class Framer {
 public:
  enum class State : std::uint8_t {
    head,       // expects the first or further bytes of the head
    admitting,  // the head is complete; expects a call of admit_body()
    body,       // expects further bytes of the body
    complete,
    refused,
  };

  explicit Framer(const FramingLimits& limits) : limits_{limits} {}

  // Takes the bytes that belong to the current request, and returns their number: fewer than all if
  // the state becomes admitting, complete or refused.
  std::size_t take(std::string_view bytes);

  State state() const { return state_; }
  bool takes_more() const { return state_ == State::head || state_ == State::body; }

  // Whether a byte of the request has arrived.
  bool has_begun() const { return state_ != State::head || step_ != Step::empty_line; }

  // Valid from state admitting on.
  const RequestHead& head() const { return head_; }

  // Limits the body to `bytes_max` bytes; a longer one is refused with 413. In state admitting.
  void admit_body(std::size_t bytes_max);
  // The same for a body that nobody reads: its bytes are counted, but not stored.
  void skip_body(std::size_t bytes_max);

  std::size_t body_bytes_max() const { return body_bytes_max_; }

  // The body's content, without chunk sizes and trailers; empty if it was skipped. In state
  // complete.
  std::string& body() { return body_; }

  // The number of bytes stored, without the body.
  std::size_t head_bytes() const { return head_.text_.size() + line_.size(); }

  // Frees the body's memory.
  void drop_body() { std::string{}.swap(body_); }

  // In state refused.
  const RequestFault& fault() const { return fault_; }

  // Discards the request, so that the next one can begin. Frees the memory too if `is_idle`.
  void begin_next(bool is_idle);

 private:
  enum class Step : std::uint8_t {
    empty_line,  // before the request
    method,
    target,
    version,
    header,
    fixed_body,
    chunk_line,
    chunk,
    chunk_end,
    trailer,
  };

  std::size_t take_some(std::string_view bytes);
  std::size_t take_empty_line(std::string_view bytes);
  std::size_t take_method(std::string_view bytes);
  std::size_t take_target(std::string_view bytes);
  template <class TakeLine>
  std::size_t take_line(std::string_view bytes, std::size_t bytes_max, const RequestFault& too_long,
                        TakeLine take);
  std::size_t take_header(std::string_view bytes);
  std::size_t take_trailer(std::string_view bytes);
  std::size_t take_body_bytes(std::string_view bytes, Step next);
  std::size_t take_chunk_end(std::string_view bytes);

  void end_version(std::string_view line);
  void end_header(std::string_view line);
  void end_head();
  void end_chunk_line(std::string_view line);
  void check_target();
  void check_host();
  void read_connection();
  void read_expectation();
  void read_body_length();
  void read_transfer_encoding();

  void refuse(int status, std::string detail);
  void refuse(std::string detail) { refuse(400, std::move(detail)); }

  const FramingLimits limits_;
  State state_ = State::head;
  Step step_ = Step::empty_line;
  RequestHead head_;
  std::string line_;            // the received part of an incomplete line
  std::size_t step_bytes_ = 0;  // taken in this step; of headers and trailers, in complete lines
  std::size_t body_bytes_max_ = 0;
  std::uint64_t bytes_left_ = 0;  // of the body, or of the chunk
  std::size_t body_bytes_ = 0;    // received
  bool is_body_wanted_ = true;
  std::string body_;
  RequestFault fault_;
};

}  // namespace credits::http
