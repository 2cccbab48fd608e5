#include "http/connection.hpp"

#include <fcntl.h>
#include <linux/sockios.h>
#include <openssl/err.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "http/text.hpp"

namespace credits::http {

namespace {

using std::chrono::steady_clock;

constexpr std::size_t input_bytes = 16 * 1024;
constexpr std::size_t output_bytes_max = 64 * 1024;
constexpr std::chrono::milliseconds linger_timeout{1'000};
constexpr std::chrono::milliseconds request_end_grace{1'000};
constexpr std::chrono::milliseconds no_grace{0};
constexpr std::chrono::milliseconds progress_interval_max{1'000};
constexpr const char* client_gone = "the client has gone";
constexpr std::size_t linger_bytes_max = 16 * 1024 * 1024;
constexpr std::string_view ignored_header = "Range";

// For whichever of a loop's connections has something to read.
thread_local std::unique_ptr<char[]> spare_input;

int milliseconds_until(steady_clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now());
  return static_cast<int>(std::max<std::chrono::milliseconds::rep>(0, left.count()));
}

}  // namespace

Connection::Connection(socket_t socket, const ConnectionLimits& limits, int end_event,
                       TlsSession tls_session)
    : socket_{socket},
      tls_session_{std::move(tls_session)},
      limits_{limits},
      end_event_{end_event} {
  if (tls_session_) ::fcntl(socket_, F_SETFL, ::fcntl(socket_, F_GETFL) | O_NONBLOCK);
}

Connection::~Connection() {
  // The client is told that what it has is whole; its own end is not waited for.
  if (tls_session_ && !failed_ && ::SSL_is_init_finished(tls_session_.get()) == 1) {
    ::SSL_shutdown(tls_session_.get());
  }
  ::ERR_clear_error();
  ::close(socket_);
}

bool Connection::shake_hands() {
  if (!tls_session_) return true;
  auto deadline = steady_clock::now() + limits_.request_timeout;
  while (true) {
    ::ERR_clear_error();
    const ssize_t done = result_of_tls(::SSL_do_handshake(tls_session_.get()));
    if (done > 0) return true;
    failed_ = done == 0 || errno != EAGAIN || !wait_for_peer(deadline, no_grace, needed_);
    if (failed_) return false;
  }
}

bool Connection::wait_for_request() {
  auto idle_deadline = steady_clock::now() + limits_.idle_timeout;
  if (!wait_for_input(idle_deadline, no_grace)) return false;
  begin_request();
  return true;
}

void Connection::begin_request() {
  request_deadline_ = steady_clock::now() + limits_.request_timeout;
  bytes_left_ = limits_.head_bytes_max;
  if (!is_sending_ending_) send_deadline_.reset();
  in_head_ = true;
  head_.clear();
  line_begin_ = 0;
}

Received Connection::receive_now() {
  make_room();
  const std::size_t room = input_bytes - input_end_;
  if (room == 0) return Received::nothing;
  const ssize_t got = receive(input_.get() + input_end_, room);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return Received::nothing;
  if (got <= 0) return Received::ended;
  input_end_ += static_cast<std::size_t>(got);
  return input_end_ == input_bytes ? Received::full : Received::some;
}

void Connection::make_room() {
  if (!input_) input_ = std::move(spare_input);
  if (!input_) input_ = std::make_unique_for_overwrite<char[]>(input_bytes);
  if (input_begin_ == 0) return;
  std::memmove(input_.get(), input_.get() + input_begin_, input_end_ - input_begin_);
  input_end_ -= std::exchange(input_begin_, 0);
}

Sent Connection::send_now() {
  std::size_t sent = 0;
  while (sent < output_.size() && !failed_) {
    const ssize_t count = transmit(output_.data() + sent, output_.size() - sent);
    if (count > 0) {
      sent += static_cast<std::size_t>(count);
    } else if (errno == EAGAIN) {
      break;
    } else if (errno != EINTR) {
      failed_ = true;
    }
  }
  output_.erase(0, sent);
  if (failed_) return Sent::failed;
  if (!output_.empty()) return Sent::in_part;
  if (input_begin_ == input_end_) {
    spare_input = std::move(input_);
    input_begin_ = input_end_ = 0;
  }
  return Sent::whole;
}

bool Connection::flush() {
  std::string_view rest = output_;
  while (!rest.empty() && !failed_) {
    const ssize_t sent = transmit(rest.data(), rest.size());
    if (sent > 0) {
      rest.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN) {
      wait_to_send();
    } else if (errno != EINTR) {
      fail_to_send(client_gone);
    }
  }
  output_.clear();
  return !failed_;
}

std::chrono::milliseconds Connection::progress_interval() const {
  return std::min(progress_interval_max, limits_.send_timeout / 4);
}

// The socket says that there is room only once a third of its buffer, which may be megabytes, has
// been taken: a slow client needs longer for that.
std::size_t Connection::unsent() const {
  int in_socket = 0;
  if (::ioctl(socket_, SIOCOUTQ, &in_socket) != 0) return output_.size();
  return output_.size() + static_cast<std::size_t>(in_socket);
}

void Connection::expect_progress() {
  const auto now = steady_clock::now();
  unsent_ = unsent();
  progress_deadline_ = now + limits_.send_timeout;
  if (!send_deadline_) send_deadline_ = now + limits_.send_total_timeout;
}

bool Connection::is_progressing() {
  const auto now = steady_clock::now();
  const std::size_t before = std::exchange(unsent_, unsent());
  if (unsent_ < before) progress_deadline_ = now + limits_.send_timeout;
  if (now >= *send_deadline_) {
    return fail_to_send(is_sending_ending_ ? "the server ends"
                                           : "the client has taken too long for all of it");
  }
  return now < progress_deadline_ || fail_to_send("the client took nothing for too long");
}

bool Connection::fail_to_send(const char* fault) {
  failed_ = true;
  send_fault_ = fault;
  return false;
}

void Connection::end_sending_soon() {
  is_sending_ending_ = true;
  const auto deadline = steady_clock::now() + limits_.send_timeout;
  send_deadline_ = std::min(send_deadline_.value_or(deadline), deadline);
}

// Until there is room, or it has failed.
void Connection::wait_to_send() {
  expect_progress();
  while (is_progressing()) {
    std::array<pollfd, 2> descriptors{{{socket_, needed_, 0}, {end_event_, POLLIN, 0}}};
    const int ready = ::poll(descriptors.data(), is_sending_ending_ ? 1 : 2,
                             static_cast<int>(progress_interval().count()));
    if (ready < 0 && errno != EINTR) return static_cast<void>(fail_to_send(client_gone));
    if (ready <= 0) continue;
    if (descriptors[0].revents != 0) return;
    end_sending_soon();
  }
}

bool Connection::may_send_more() {
  pollfd end{end_event_, POLLIN, 0};
  if (!is_sending_ending_ && ::poll(&end, 1, 0) == 1) end_sending_soon();
  if (!send_deadline_ || steady_clock::now() < *send_deadline_) return true;
  expect_progress();
  return is_progressing();
}

void Connection::finish() {
  if (failed_) return;
  if (tls_session_) ::SSL_shutdown(tls_session_.get());
  if (::shutdown(socket_, SHUT_WR) != 0) return;
  const auto deadline = steady_clock::now() + linger_timeout;
  std::size_t bytes_left = linger_bytes_max;
  std::array<char, input_bytes> ignored{};
  while (wait_until(POLLIN, deadline)) {
    const ssize_t got = ::recv(socket_, ignored.data(), ignored.size(), MSG_DONTWAIT);
    if (got <= 0 || static_cast<std::size_t>(got) > bytes_left) return;
    bytes_left -= static_cast<std::size_t>(got);
  }
}

bool Connection::is_readable() const {
  return has_input() || wait_until(POLLIN, request_deadline_);
}

// Whether something has come that the socket does not tell of.
bool Connection::has_input() const {
  return input_begin_ < input_end_ || (tls_session_ && ::SSL_pending(tls_session_.get()) > 0);
}

// The end of the server brings `deadline` near, to `end_grace` from now.
bool Connection::wait_for_input(steady_clock::time_point& deadline,
                                std::chrono::milliseconds end_grace) {
  return has_input() || wait_for_peer(deadline, end_grace, POLLIN);
}

bool Connection::wait_for_peer(steady_clock::time_point& deadline,
                               std::chrono::milliseconds end_grace, short events) {
  std::array<pollfd, 2> descriptors{{{socket_, events, 0}, {end_event_, POLLIN, 0}}};
  while (steady_clock::now() < deadline) {
    const int ready = ::poll(descriptors.data(), is_ending_ ? 1 : 2, milliseconds_until(deadline));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return false;
    if (descriptors[0].revents != 0) return true;
    is_ending_ = true;
    deadline = std::min(deadline, steady_clock::now() + end_grace);
  }
  return false;
}

ssize_t Connection::read(char* data, std::size_t size) {
  if (input_begin_ == input_end_ && !fill()) return -1;
  if (bytes_left_ == 0) return -1;
  const std::size_t count = std::min({size, input_end_ - input_begin_, bytes_left_});
  bytes_left_ -= count;
  std::memcpy(data, input_.get() + input_begin_, count);
  input_begin_ += count;
  if (in_head_) add_to_head({data, count});
  return static_cast<ssize_t>(count);
}

void Connection::add_to_head(std::span<char> bytes) {
  for (char& byte : bytes) {
    head_ += byte;
    if (byte == '\n') line_begin_ = head_.size();
    if (equal_without_case(std::string_view{head_}.substr(line_begin_), ignored_header)) byte = '-';
  }
}

bool Connection::fill() {
  if (is_shared_) return false;
  // The client may be waiting for what was written: `100 Continue`.
  if (!flush()) return false;
  needed_ = POLLIN;
  while (needed_ == POLLIN ? wait_for_input(request_deadline_, request_end_grace)
                           : wait_for_peer(request_deadline_, request_end_grace, needed_)) {
    input_begin_ = input_end_ = 0;
    make_room();
    const ssize_t got = receive(input_.get(), input_bytes);
    if (got > 0) {
      input_end_ = static_cast<std::size_t>(got);
      return true;
    }
    if (got == 0 || (errno != EAGAIN && errno != EINTR)) return false;
  }
  return false;
}

ssize_t Connection::receive(char* data, std::size_t size) {
  needed_ = POLLIN;
  if (!tls_session_) return ::recv(socket_, data, size, MSG_DONTWAIT);
  ::ERR_clear_error();
  return result_of_tls(::SSL_read(tls_session_.get(), data, static_cast<int>(size)));
}

ssize_t Connection::transmit(const char* data, std::size_t size) {
  needed_ = POLLOUT;
  if (!tls_session_) return ::send(socket_, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
  ::ERR_clear_error();
  const std::size_t part = std::min(size, output_bytes_max);
  return result_of_tls(::SSL_write(tls_session_.get(), data, static_cast<int>(part)));
}

ssize_t Connection::result_of_tls(int result) {
  if (result > 0) return result;
  switch (::SSL_get_error(tls_session_.get(), result)) {
    case SSL_ERROR_ZERO_RETURN:
      return 0;
    case SSL_ERROR_WANT_READ:
      needed_ = POLLIN;
      errno = EAGAIN;
      return -1;
    case SSL_ERROR_WANT_WRITE:
      needed_ = POLLOUT;
      errno = EAGAIN;
      return -1;
    default:
      failed_ = true;  // the session must not be used any more
      errno = EPROTO;
      return -1;
  }
}

ssize_t Connection::write(const char* data, std::size_t size) {
  output_.append(data, size);
  if (output_.size() >= output_bytes_max && !is_shared_ && !(may_send_more() && flush())) return -1;
  return failed_ ? -1 : static_cast<ssize_t>(size);
}

bool Connection::wait_until(short events, steady_clock::time_point deadline) const {
  pollfd descriptor{socket_, events, 0};
  while (true) {
    const int ready = ::poll(&descriptor, 1, milliseconds_until(deadline));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

// Nobody asks: the library would copy them into every request's headers.
void Connection::get_remote_ip_and_port(std::string& ip, int& port) const {
  ip.clear();
  port = 0;
}

void Connection::get_local_ip_and_port(std::string& ip, int& port) const {
  ip.clear();
  port = 0;
}

}  // namespace credits::http
