// Who may call what.
//
// With token files, a call needs a token of its scope: a relay's reach what relays call, an admin's
// everything. Without, the server listens on loopback alone, where every program is trusted but no
// web page is: a page of elsewhere gives itself away by its Origin, or, if its name has been made
// to lead here (DNS rebinding), by the Host it asks for.
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

// The text names the file and what is wrong with it, and shows no token.
class TokenFileError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Files of tokens, one a line (RFC 6750's b64token); empty lines are passed over.
struct TokenFiles {
  std::optional<std::filesystem::path> relay{};
  std::optional<std::filesystem::path> admin{};

  bool any() const { return relay || admin; }
};

// Any thread may use it.
class Access {
 public:
  // `scheme`: http or https, as the server serves. Throws TokenFileError.
  explicit Access(TokenFiles files = {}, std::string scheme = "http");

  // Why the sender may not make a call of this scope; nothing if it may.
  std::optional<Problem> refuse(Scope scope, const Sender& sender) const;

  // Reads the files again. Throws TokenFileError: the tokens stay as they are.
  void reload();

  bool has_tokens() const { return files_.any(); }

 private:
  using Digest = std::array<unsigned char, 32>;  // SHA-256: no token is kept, and all are as long

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

// Whether only this machine reaches it by this name or address: 127.0.0.0/8, ::1 or localhost.
bool is_loopback(const std::string& host);

}  // namespace credits::http
