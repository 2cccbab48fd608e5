// Decides where a request begins and ends, and whether it is HTTP/1 at all (RFC 9112): the one
// place that does. Strict where two readers could read two things, so that no byte of one request
// is ever taken for another: what is wrong is refused, and the connection must end after it.
//
// A state machine over bytes, without sockets, clocks or threads: however a request is cut into
// pieces, the same comes of it.
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

// What is wrong with a request, and the status that says so.
struct RequestFault {
  int status = 400;
  std::string detail{};  // for people
};

class Framer {
 public:
  enum class State : std::uint8_t {
    head,       // more bytes of it are to come, or its first
    admitting,  // the head is there, and what its body may be is to be said: admit_body()
    body,       // more bytes of it are to come
    whole,
    refused,
  };

  explicit Framer(const FramingLimits& limits) : limits_{limits} {}

  // Takes what belongs to the request that is being read, and returns how many bytes that was: less
  // than all where the state is admitting, whole or refused then.
  std::size_t take(std::string_view bytes);

  State state() const { return state_; }
  bool takes_more() const { return state_ == State::head || state_ == State::body; }

  // Whether a byte of the request has come.
  bool has_begun() const { return state_ != State::head || step_ != Step::empty_line; }

  // From admitting on.
  const RequestHead& head() const { return head_; }

  // The body has `bytes_max` bytes at most; 413 otherwise. In state admitting.
  void admit_body(std::size_t bytes_max);

  std::size_t body_bytes_max() const { return body_bytes_max_; }

  // Without chunks and trailers. When whole.
  std::string& body() { return body_; }

  // When refused.
  const RequestFault& fault() const { return fault_; }

  // Forgets the request; the next one may begin. Keeps no memory of it if `is_idle`.
  void begin_next(bool is_idle);

 private:
  enum class Step : std::uint8_t {
    empty_line,  // one before the request
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
  std::string line_;            // as much as has come of a line that is not whole
  std::size_t step_bytes_ = 0;  // taken in this step; of headers and trailers, without their ends
  std::size_t body_bytes_max_ = 0;
  std::uint64_t bytes_left_ = 0;  // of the body, or of the chunk
  std::string body_;
  RequestFault fault_;
};

}  // namespace credits::http
