#include "http/connection.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace credits::http {

namespace {

using std::chrono::steady_clock;

constexpr std::size_t input_bytes = 16 * 1024;
constexpr std::size_t output_bytes_max = 64 * 1024;
constexpr std::chrono::milliseconds linger_timeout{1'000};
constexpr std::chrono::milliseconds end_grace{1'000};
constexpr std::chrono::milliseconds end_check_interval{200};
constexpr std::size_t linger_bytes_max = 16 * 1024 * 1024;

int milliseconds_until(steady_clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now());
  return static_cast<int>(std::max<std::chrono::milliseconds::rep>(0, left.count()));
}

}  // namespace

Connection::Connection(socket_t socket, const ConnectionLimits& limits)
    : socket_{socket}, limits_{limits}, input_(input_bytes) {}

Connection::~Connection() { ::close(socket_); }

bool Connection::wait_for_request() {
  if (input_begin_ == input_end_) {
    {
      const std::lock_guard lock{mutex_};
      if (is_to_end_) return false;
      is_idle_ = true;
    }
    const bool has_begun = wait_until(POLLIN, steady_clock::now() + limits_.idle_timeout);
    const std::lock_guard lock{mutex_};
    is_idle_ = false;
    if (!has_begun) return false;
  }
  request_deadline_ = steady_clock::now() + limits_.request_timeout;
  head_bytes_left_ = limits_.head_bytes_max;
  in_head_ = true;
  return true;
}

bool Connection::flush() {
  std::string_view rest = output_;
  while (!rest.empty() && !failed_) {
    const ssize_t sent = ::send(socket_, rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
      rest.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN) {
      failed_ = !wait_until(POLLOUT, steady_clock::now() + limits_.send_timeout);
    } else if (errno != EINTR) {
      failed_ = true;
    }
  }
  output_.clear();
  return !failed_;
}

void Connection::finish() {
  if (failed_ || ::shutdown(socket_, SHUT_WR) != 0) return;
  const auto deadline = steady_clock::now() + linger_timeout;
  std::size_t bytes_left = linger_bytes_max;
  while (wait_until(POLLIN, deadline)) {
    const ssize_t got = ::recv(socket_, input_.data(), input_.size(), MSG_DONTWAIT);
    if (got <= 0 || static_cast<std::size_t>(got) > bytes_left) return;
    bytes_left -= static_cast<std::size_t>(got);
  }
}

void Connection::end() {
  const std::lock_guard lock{mutex_};
  is_to_end_ = true;
  end_deadline_ = steady_clock::now() + end_grace;
  // A request that is in the receive buffer already can still be read after this.
  if (is_idle_) ::shutdown(socket_, SHUT_RD);
}

bool Connection::is_readable() const { return input_begin_ < input_end_ || wait_for_input(); }

bool Connection::wait_for_input() const {
  while (true) {
    const auto next_check = steady_clock::now() + end_check_interval;
    const auto deadline = request_deadline();
    if (wait_until(POLLIN, std::min(deadline, next_check))) return true;
    if (deadline <= next_check) return false;
  }
}

steady_clock::time_point Connection::request_deadline() const {
  const std::lock_guard lock{mutex_};
  return is_to_end_ ? std::min(request_deadline_, end_deadline_) : request_deadline_;
}

ssize_t Connection::read(char* data, std::size_t size) {
  if (input_begin_ == input_end_ && !fill()) return -1;
  std::size_t count = std::min(size, input_end_ - input_begin_);
  if (in_head_) {
    if (head_bytes_left_ == 0) return -1;
    count = std::min(count, head_bytes_left_);
    head_bytes_left_ -= count;
  }
  std::memcpy(data, input_.data() + input_begin_, count);
  input_begin_ += count;
  return static_cast<ssize_t>(count);
}

bool Connection::fill() {
  // The client may be waiting for what was written: `100 Continue`.
  if (!flush()) return false;
  while (wait_for_input()) {
    const ssize_t got = ::recv(socket_, input_.data(), input_.size(), MSG_DONTWAIT);
    if (got > 0) {
      input_begin_ = 0;
      input_end_ = static_cast<std::size_t>(got);
      return true;
    }
    if (got == 0 || (errno != EAGAIN && errno != EINTR)) return false;
  }
  return false;
}

ssize_t Connection::write(const char* data, std::size_t size) {
  output_.append(data, size);
  if (output_.size() >= output_bytes_max && !flush()) return -1;
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
