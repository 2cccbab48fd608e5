// TLS for the server's connections: its certificate and key, which may be replaced while it runs.
//
// cpp-httplib's SSLServer is not used: it would block a thread for each connection, and its context
// cannot be replaced while it runs.
#pragma once

#include <openssl/ssl.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <stdexcept>

namespace credits::http {

// The text names the file and what is wrong with it.
class TlsError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct TlsFiles {
  std::filesystem::path certificate;  // PEM, with the chain up to the root below it
  std::filesystem::path key;          // PEM, not encrypted
};

struct SslDeleter {
  void operator()(SSL* session) const { ::SSL_free(session); }
};
using TlsSession = std::unique_ptr<SSL, SslDeleter>;

// TLS 1.2 and later. Any thread may use it.
class Tls {
 public:
  // Throws TlsError.
  explicit Tls(TlsFiles files);

  // A session on `socket`, for the server's side; none if there is no memory for it.
  TlsSession begin(int socket) const;

  // Reads the files again, for the sessions that begin from then on. Throws TlsError: they go on as
  // they were.
  void reload();

 private:
  const TlsFiles files_;
  std::atomic<std::shared_ptr<SSL_CTX>> context_;
};

}  // namespace credits::http
