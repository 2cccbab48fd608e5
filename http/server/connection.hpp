// The bytes of one connection, plain or with TLS, that come and go. Nothing here waits: what cannot
// be done at once is said to be left, and the owner asks again when the socket is ready.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "http/server/tls.hpp"

namespace credits::http {

class Connection {
 public:
  enum class Progress : std::uint8_t {
    done,
    left,   // to be asked for again when the socket is ready
    ended,  // by the other end, in order or not
  };

  struct Received {
    Progress progress = Progress::left;  // done: some bytes have come
    std::string_view bytes{};
    bool may_have_more = false;  // without another word from the socket
  };

  // Owns `socket`, which does not block, from here on. Without `session` it is plain.
  Connection(int socket, TlsSession session);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  int descriptor() const { return socket_; }
  bool is_secure() const { return session_ != nullptr; }

  // Agrees on TLS with the client, if there is to be TLS.
  Progress shake_hands();
  // Whether that failed because the client speaks HTTP without TLS.
  bool was_spoken_to_in_http() const { return was_spoken_to_in_http_; }
  // `127.0.0.1:4711`
  std::string client() const;

  // The bytes lie in `room`.
  Received receive(std::span<char> room);
  // The same, of the bytes as they are on the way: for those that nobody reads.
  Received receive_raw(std::span<char> room);

  // What is to be sent, after what is still to be.
  std::string& output() { return output_; }
  bool has_unsent() const { return sent_ < output_.size(); }
  // With those that the socket has and the client has not.
  std::size_t unsent_bytes() const;
  Progress send();

  // Says that nothing more follows, once all is sent. Left: the client takes nothing, and has not
  // been told.
  Progress shut_down();
  // Has the client see an error when the connection ends, as it must not take what it has for all.
  void end_with_reset();

 private:
  // As recv() and send() have it.
  Progress progress_of_tls(int result);

  const int socket_;
  const TlsSession session_;
  std::string output_;
  std::size_t sent_ = 0;  // of output_
  bool has_failed_ = false;
  bool was_spoken_to_in_http_ = false;
};

}  // namespace credits::http
