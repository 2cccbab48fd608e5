// Decides who may make which call.
//
// With token files, a call needs a token of its scope: a relay's token allows relays' calls, an
// admin's allows all. Without token files the server listens on loopback and Unix sockets alone,
// where every program is trusted, but no other site's web page. Such a page is recognised by its
// Origin, or, if its name was made to lead to this machine (DNS rebinding), by its Host.
#pragma once

#include <array>
#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "http/api/routes.hpp"
#include "http/codec/problem.hpp"
#include "http/server/message.hpp"

namespace credits::http {

// The text names the file and its fault, and contains no token.
class TokenFileError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Files of tokens (RFC 6750's b64token), one per line; empty lines are ignored.
struct TokenFiles {
  std::optional<std::filesystem::path> relay{};
  std::optional<std::filesystem::path> admin{};

  bool any() const { return relay || admin; }
};

// Thread-safe.
class Access {
 public:
  // `scheme`: the server's, http or https. Throws TokenFileError.
  explicit Access(TokenFiles files = {}, std::string scheme = "http");

  // The problem if the sender may not make a call of this scope; nullopt if it may.
  std::optional<Problem> refuse(Scope scope, const Sender& sender) const;

  // Reads the files again. If it throws TokenFileError, the old tokens stay in force.
  void reload();

  bool has_tokens() const { return files_.any(); }

 private:
  using Digest = std::array<unsigned char, 32>;  // SHA-256: stores no token, and has a fixed length

  struct Tokens {
    std::vector<Digest> relay;
    std::vector<Digest> admin;
  };

  static std::vector<Digest> read(const std::optional<std::filesystem::path>& file);
  static bool has(const std::vector<Digest>& digests, const Digest& digest);
  static Digest digest_of(std::string_view token);
  std::optional<Problem> refuse_without_token(Scope scope, const Sender& sender) const;
  std::optional<Problem> refuse_page(const Sender& sender) const;

  const TokenFiles files_;
  const std::string scheme_;
  std::atomic<std::shared_ptr<const Tokens>> tokens_;
};

// Whether only this machine reaches `host`: 127.0.0.0/8, ::1 or localhost.
bool is_loopback(const std::string& host);

}  // namespace credits::http
