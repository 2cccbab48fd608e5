#include "http/server/tls.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <string>
#include <utility>

#include "actors/base/files.hpp"
#include "actors/base/text.hpp"

namespace credits::http {

namespace {

// Why OpenSSL's last call failed: the first cause.
std::string reason() {
  const char* const text = ::ERR_reason_error_string(::ERR_peek_error());
  return text != nullptr ? text : "OpenSSL gives no reason";
}

[[noreturn]] void fail(const char* what, const std::filesystem::path& file) {
  throw TlsError{"cannot use the TLS " + std::string{what} + " " + file.string() + ": " + reason()};
}

using Bio = std::unique_ptr<BIO, decltype(&::BIO_free)>;
using Certificate = std::unique_ptr<X509, decltype(&::X509_free)>;
using Key = std::unique_ptr<EVP_PKEY, decltype(&::EVP_PKEY_free)>;

// OpenSSL's errors for unreadable files do not help, and it would block on a pipe.
std::string content_of(const char* what, const std::filesystem::path& file) {
  try {
    std::string content = base::read_file(file);
    if (const auto fault = base::fault_of_encoding(content)) {
      throw base::FileError{file.string() + ": " + *fault};
    }
    return std::string{base::without_mark(content)};
  } catch (const base::FileError& error) {
    throw TlsError{"cannot use the TLS " + std::string{what} + " " + error.what()};
  }
}

Bio memory_of(const std::string& content) {
  return {::BIO_new_mem_buf(content.data(), static_cast<int>(content.size())), ::BIO_free};
}

// An encrypted key is an error, not a question at the terminal.
int no_password(char*, int, int, void*) { return -1; }

// The server's certificate, and those of its chain behind it.
void use_certificates(SSL_CTX& context, const std::filesystem::path& file) {
  const std::string content = content_of("certificate", file);
  const Bio pem = memory_of(content);
  const Certificate own{::PEM_read_bio_X509_AUX(pem.get(), nullptr, no_password, nullptr),
                        ::X509_free};
  if (!own || ::SSL_CTX_use_certificate(&context, own.get()) != 1) fail("certificate", file);
  while (true) {
    Certificate next{::PEM_read_bio_X509(pem.get(), nullptr, no_password, nullptr), ::X509_free};
    if (!next) break;
    if (::SSL_CTX_add0_chain_cert(&context, next.get()) != 1) fail("certificate", file);
    static_cast<void>(next.release());
  }
  const bool is_end = ERR_GET_REASON(::ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  if (!is_end) fail("certificate", file);
  ::ERR_clear_error();
}

void use_key(SSL_CTX& context, const std::filesystem::path& file) {
  const std::string content = content_of("key", file);
  const Bio pem = memory_of(content);
  const Key key{::PEM_read_bio_PrivateKey(pem.get(), nullptr, no_password, nullptr),
                ::EVP_PKEY_free};
  if (!key || ::SSL_CTX_use_PrivateKey(&context, key.get()) != 1) fail("key", file);
}

std::shared_ptr<SSL_CTX> read(const TlsFiles& files) {
  ::ERR_clear_error();
  const std::shared_ptr<SSL_CTX> context{::SSL_CTX_new(::TLS_server_method()), ::SSL_CTX_free};
  if (!context) throw TlsError{"cannot set up TLS: " + reason()};
  ::SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  ::SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION);
  ::SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE |
                                        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                        SSL_MODE_RELEASE_BUFFERS);
  use_certificates(*context, files.certificate);
  use_key(*context, files.key);
  // OpenSSL holds one key of each type, and would accept one of another type than the
  // certificate's.
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
