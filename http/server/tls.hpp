// TLS for the server's connections: its certificate and key, which can be replaced while it runs.
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

// The text names the file and its fault.
class TlsError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct TlsFiles {
  std::filesystem::path certificate;  // PEM; its chain follows it
  std::filesystem::path key;          // PEM, not encrypted
};

struct SslDeleter {
  void operator()(SSL* session) const { ::SSL_free(session); }
};
using TlsSession = std::unique_ptr<SSL, SslDeleter>;

// TLS 1.2 and later. Thread-safe.
class Tls {
 public:
  // Throws TlsError.
  explicit Tls(TlsFiles files);

  // Starts a server-side session on `socket`; null if there is no memory for it.
  TlsSession begin(int socket) const;

  // Reads the files again; new sessions use them. If it throws TlsError, the old certificate and
  // key stay in use.
  void reload();

 private:
  const TlsFiles files_;
  std::atomic<std::shared_ptr<SSL_CTX>> context_;
};

}  // namespace credits::http
