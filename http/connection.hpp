// One connection, plain or with TLS, as the stream that cpp-httplib reads requests from and writes
// answers to.
//
// The library's own stream looks 100 times a second whether an idle connection has something to
// say, cannot wait for descriptors beyond 1,023, and has no limit for how long a request may take
// to arrive. This one sleeps in poll(), sends an answer's head and body in one call, and has a
// limit for everything. Belongs to one thread at a time: one of its own, which waits in here, or
// that of an event loop, which shares itself among connections and never waits in here.
#pragma once

#include <httplib.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "http/tls.hpp"

namespace credits::http {

struct ConnectionLimits {
  std::chrono::milliseconds idle_timeout{60'000};     // between two requests
  std::chrono::milliseconds request_timeout{30'000};  // from a request's first byte to its last
  // For a client that takes no byte; at the end, for all that is left of an answer.
  std::chrono::milliseconds send_timeout{10'000};
  std::chrono::milliseconds send_total_timeout{3'600'000};  // for an answer, be it taken steadily
  std::size_t head_bytes_max = 64 * 1024;                   // request line and headers
  std::chrono::milliseconds end_grace{100};                 // for a request on its way at the end
};

// How far an attempt to send that does not wait came.
enum class Sent : std::uint8_t { whole, in_part, failed };

// What an attempt to receive that does not wait brought.
enum class Received : std::uint8_t {
  nothing,
  some,  // all there was
  full,  // as much as there was room for
  ended,
};

class Connection : public httplib::Stream {
 public:
  // Owns `socket` from here on. When `end_event`, an eventfd, becomes readable the connection is to
  // end: at once if it waits for a request, else after that; one that has not come whole has a
  // second left.
  Connection(socket_t socket, const ConnectionLimits& limits, int end_event,
             TlsSession tls_session = nullptr);
  ~Connection() override;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Agrees on TLS with the client, if there is to be TLS; false if that cannot be.
  bool shake_hands();

  // Sleeps until a request begins; false if none came, or the connection is to end.
  bool wait_for_request();

  // From here to end_sharing() nothing waits: what would have to, fails.
  void begin_sharing() { is_shared_ = true; }
  void end_sharing() { is_shared_ = false; }
  int descriptor() const { return socket_; }

  // What has come and has not been read.
  std::string_view unread() const {
    return {input_.get() + input_begin_, input_end_ - input_begin_};
  }
  Received receive_now();
  Sent send_now();
  void begin_request();
  void discard_output() { output_.clear(); }

  // The request line and headers that have been read, as they were sent.
  const std::string& head() const { return head_; }

  // What follows is a body, of so many bytes as they are sent.
  void begin_body(std::size_t bytes_max) {
    bytes_left_ = bytes_max;
    in_head_ = false;
  }

  // The request has so long from now.
  void allow(std::chrono::milliseconds time) {
    request_deadline_ = std::chrono::steady_clock::now() + time;
  }

  // Sends what is still buffered. If that fails, send_fault() says why.
  bool flush();
  const char* send_fault() const { return send_fault_; }

  // What is left of an answer is looked at so often, from expect_progress() on: whether the client
  // still takes some of it, and has not had its time.
  std::chrono::milliseconds progress_interval() const;
  void expect_progress();
  bool is_progressing();

  // The server ends: what is being sent has so long in all, be it taken fast or slowly.
  void end_sending_soon();

  // Says that nothing more follows, and lets the client read that before the socket closes.
  void finish();

  bool is_readable() const override;
  bool is_writable() const override { return !failed_; }
  ssize_t read(char* data, std::size_t size) override;
  ssize_t write(const char* data, std::size_t size) override;
  void get_remote_ip_and_port(std::string& ip, int& port) const override;
  void get_local_ip_and_port(std::string& ip, int& port) const override;
  // No descriptor: the library refuses those beyond 1,023, which it could not wait for.
  socket_t socket() const override { return 0; }

 private:
  bool wait_until(short events, std::chrono::steady_clock::time_point deadline) const;
  void wait_to_send();
  bool may_send_more();
  std::size_t unsent() const;
  bool fail_to_send(const char* fault);
  bool wait_for_input(std::chrono::steady_clock::time_point& deadline,
                      std::chrono::milliseconds end_grace);
  bool wait_for_peer(std::chrono::steady_clock::time_point& deadline,
                     std::chrono::milliseconds end_grace, short events);
  bool has_input() const;
  bool fill();
  // Hides `Range` from the library, in `bytes`: it would answer any number of ranges, of any
  // answer, and gives them to std::regex, which takes a call of the stack for each letter.
  void add_to_head(std::span<char> bytes);
  void make_room();
  // As recv() and send() that do not block; after -1 with EAGAIN, needed_ is what to wait for.
  ssize_t receive(char* data, std::size_t size);
  ssize_t transmit(const char* data, std::size_t size);
  ssize_t result_of_tls(int result);

  const socket_t socket_;
  const TlsSession tls_session_;
  short needed_ = 0;
  const ConnectionLimits& limits_;
  const int end_event_;
  std::chrono::steady_clock::time_point request_deadline_{};
  // For all of an answer, once its client makes the server wait.
  std::optional<std::chrono::steady_clock::time_point> send_deadline_{};
  std::chrono::steady_clock::time_point progress_deadline_{};
  std::size_t unsent_ = 0;  // when it was looked at last
  bool is_sending_ending_ = false;
  const char* send_fault_ = "";
  std::unique_ptr<char[]> input_;  // none while there is nothing unread, if shared
  std::size_t input_begin_ = 0;
  std::size_t input_end_ = 0;
  std::string output_;
  std::size_t bytes_left_ = 0;  // of the head, or of the body
  bool in_head_ = true;
  std::string head_;
  std::size_t line_begin_ = 0;  // of the last one in the head
  bool failed_ = false;
  bool is_ending_ = false;
  bool is_shared_ = false;
};

}  // namespace credits::http
