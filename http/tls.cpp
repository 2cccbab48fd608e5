#include "http/tls.hpp"

#include <openssl/err.h>

#include <string>
#include <utility>

#include "persistence/files.hpp"
#include "persistence/store.hpp"

namespace credits::http {

namespace {

// Why OpenSSL's last call failed: the first cause.
std::string reason() {
  const char* const text = ::ERR_reason_error_string(::ERR_peek_error());
  return text != nullptr ? text : "OpenSSL does not say why";
}

[[noreturn]] void fail(const char* what, const std::filesystem::path& file) {
  throw TlsError{"cannot take the TLS " + std::string{what} + " " + file.string() + ": " +
                 reason()};
}

// OpenSSL's words for what cannot be read are none that help.
void expect_readable(const char* what, const std::filesystem::path& file) {
  try {
    persistence::read_file(file);
  } catch (const persistence::StoreError& error) {
    throw TlsError{"cannot take the TLS " + std::string{what} + " " + error.what()};
  }
}

std::shared_ptr<SSL_CTX> read(const TlsFiles& files) {
  expect_readable("certificate", files.certificate);
  expect_readable("key", files.key);
  ::ERR_clear_error();
  const std::shared_ptr<SSL_CTX> context{::SSL_CTX_new(::TLS_server_method()), ::SSL_CTX_free};
  if (!context) throw TlsError{"cannot set up TLS: " + reason()};
  ::SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  ::SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE |
                                        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                        SSL_MODE_RELEASE_BUFFERS);
  // An encrypted key is an error, not a question at the terminal.
  ::SSL_CTX_set_default_passwd_cb(context.get(), [](char*, int, int, void*) { return -1; });
  if (::SSL_CTX_use_certificate_chain_file(context.get(), files.certificate.c_str()) != 1) {
    fail("certificate", files.certificate);
  }
  if (::SSL_CTX_use_PrivateKey_file(context.get(), files.key.c_str(), SSL_FILETYPE_PEM) != 1) {
    fail("key", files.key);
  }
  // OpenSSL keeps a key of each kind, and would keep one that is of another kind than the
  // certificate.
  if (::X509_check_private_key(::SSL_CTX_get0_certificate(context.get()),
                               ::SSL_CTX_get0_privatekey(context.get())) != 1) {
    fail("key", files.key);
  }
  return context;
}

}  // namespace

Tls::Tls(TlsFiles files) : files_{std::move(files)} { reload(); }

void Tls::reload() { context_.store(read(files_)); }

TlsSession Tls::begin(int socket) const {
  TlsSession session{::SSL_new(context_.load().get())};
  if (!session || ::SSL_set_fd(session.get(), socket) != 1) return nullptr;
  ::SSL_set_accept_state(session.get());
  return session;
}

}  // namespace credits::http
