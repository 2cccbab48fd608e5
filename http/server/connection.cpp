#include "http/server/connection.hpp"

#include <linux/sockios.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace credits::http {

namespace {

// The largest payload of a TLS record.
constexpr std::size_t tls_record_bytes = 16 * 1'024;

// An idle connection keeps at most this much memory for its next answer.
constexpr std::size_t output_bytes_kept = 2'048;

Connection::Progress progress_of_errno() {
  const bool is_left = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
  return is_left ? Connection::Progress::would_block : Connection::Progress::ended;
}

}  // namespace

Connection::Connection(Descriptor socket, TlsSession session)
    : socket_{std::move(socket)}, session_{std::move(session)} {}

Connection::~Connection() { ::ERR_clear_error(); }

Connection::Progress Connection::handshake() {
  if (!session_) return Progress::done;
  ::ERR_clear_error();
  const Progress progress = progress_of_tls(::SSL_do_handshake(session_.get()));
  received_plain_http_ = ERR_GET_REASON(::ERR_peek_error()) == SSL_R_HTTP_REQUEST;
  return progress;
}

std::string Connection::client() const {
  sockaddr_storage storage{};
  auto* const address = reinterpret_cast<sockaddr*>(&storage);
  socklen_t size = sizeof(storage);
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  const bool is_known = ::getpeername(descriptor(), address, &size) == 0 &&
                        storage.ss_family != AF_UNIX &&
                        ::getnameinfo(address, size, host.data(), host.size(), port.data(),
                                      port.size(), NI_NUMERICHOST | NI_NUMERICSERV) == 0;
  if (!is_known) return "an unknown address";
  const std::string name{host.data()};
  return (storage.ss_family == AF_INET6 ? "[" + name + "]" : name) + ":" + port.data();
}

Connection::Received Connection::receive_raw(std::span<char> buffer) {
  const ssize_t got = ::recv(descriptor(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (got < 0) return {progress_of_errno()};
  if (got == 0) return {Progress::ended};
  const auto count = static_cast<std::size_t>(got);
  return {Progress::done, {buffer.data(), count}, count == buffer.size()};
}

Connection::Received Connection::receive(std::span<char> buffer) {
  if (!session_) return receive_raw(buffer);
  ::ERR_clear_error();
  const int got = ::SSL_read(session_.get(), buffer.data(),
                             static_cast<int>(std::min(buffer.size(), tls_record_bytes)));
  const Progress progress = progress_of_tls(got);
  if (progress != Progress::done) return {progress};
  return {progress, {buffer.data(), static_cast<std::size_t>(got)}, true};
}

Connection::Progress Connection::send() {
  Progress progress = Progress::done;
  while (sent_ < output_.size() && progress == Progress::done) {
    const std::string_view rest = std::string_view{output_}.substr(sent_);
    ssize_t count = 0;
    if (session_) {
      ::ERR_clear_error();
      count = ::SSL_write(session_.get(), rest.data(),
                          static_cast<int>(std::min(rest.size(), tls_record_bytes)));
      progress = progress_of_tls(static_cast<int>(count));
    } else {
      count = ::send(descriptor(), rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (count < 0) progress = progress_of_errno();
    }
    if (count > 0) sent_ += static_cast<std::size_t>(count);
  }
  if (sent_ == output_.size()) {
    sent_ = 0;
    output_.clear();
    if (output_.capacity() > output_bytes_kept) std::string{}.swap(output_);
  }
  return progress;
}

std::size_t Connection::unsent_bytes() const {
  int in_socket = 0;
  if (::ioctl(descriptor(), SIOCOUTQ, &in_socket) != 0) in_socket = 0;
  return output_.size() - sent_ + static_cast<std::size_t>(in_socket);
}

void Connection::end_with_reset() {
  const linger at_once{1, 0};
  ::setsockopt(descriptor(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

Connection::Progress Connection::shut_down() {
  if (session_ && !has_failed_ && ::SSL_is_init_finished(session_.get()) == 1) {
    ::ERR_clear_error();
    const int result = ::SSL_shutdown(session_.get());
    if (result < 0 && progress_of_tls(result) == Progress::would_block)
      return Progress::would_block;
  }
  ::shutdown(descriptor(), SHUT_WR);
  return Progress::done;
}

Connection::Progress Connection::progress_of_tls(int result) {
  if (result > 0) return Progress::done;
  switch (::SSL_get_error(session_.get(), result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return Progress::would_block;
    case SSL_ERROR_ZERO_RETURN:
      return Progress::ended;
    default:
      has_failed_ = true;  // the session must not be used again
      return Progress::ended;
  }
}

}  // namespace credits::http
