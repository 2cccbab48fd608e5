// Reads and writes the bytes of one connection, plain or with TLS. No function blocks: one that
// cannot finish returns would_block, and the owner calls it again when the socket is ready.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "http/server/descriptor.hpp"
#include "http/server/tls.hpp"

namespace credits::http {

class Connection {
 public:
  enum class Progress : std::uint8_t {
    done,
    would_block,  // call again when the socket is ready
    ended,        // the client closed the connection, or it failed
  };

  struct Received {
    Progress progress = Progress::would_block;  // done: some bytes have arrived
    std::string_view bytes{};
    bool may_have_more = false;  // without another event on the socket
  };

  // `socket` must be non-blocking. Without `session` the connection is plain.
  Connection(Descriptor socket, TlsSession session);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  int descriptor() const { return socket_.get(); }
  bool is_secure() const { return session_ != nullptr; }

  // Performs the TLS handshake, if the connection uses TLS.
  Progress handshake();
  // Whether the handshake failed because the client sent plain HTTP.
  bool received_plain_http() const { return received_plain_http_; }
  // The client's address, like `127.0.0.1:4711`.
  std::string client() const;

  // The bytes received are in `buffer`.
  Received receive(std::span<char> buffer);
  // The same without decryption, for bytes that are only discarded.
  Received receive_raw(std::span<char> buffer);

  // Append bytes to it that are to be sent.
  std::string& output() { return output_; }
  bool has_unsent() const { return sent_ < output_.size(); }
  // Including the bytes in the socket's buffer that the client has not received.
  std::size_t unsent_bytes() const;
  Progress send();

  // Ends the sending direction, once all is sent. would_block: the client accepts no bytes, and
  // does not know of the end yet.
  Progress shut_down();
  // Makes the connection end with a reset, so that the client does not take a truncated answer for
  // a complete one.
  void end_with_reset();

 private:
  // Interprets the result of an OpenSSL call.
  Progress progress_of_tls(int result);

  const Descriptor socket_;
  const TlsSession session_;
  std::string output_;
  std::size_t sent_ = 0;  // of output_
  bool has_failed_ = false;
  bool received_plain_http_ = false;
};

}  // namespace credits::http
