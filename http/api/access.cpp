#include "http/api/access.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "actors/base/files.hpp"
#include "actors/base/text.hpp"
#include "http/server/text.hpp"
#include "persistence/store.hpp"

namespace credits::http {

namespace {

constexpr std::size_t token_bytes_max = 4'096;

bool is_token(std::string_view text) {
  const std::string_view without_padding = text.substr(0, text.find_last_not_of('=') + 1);
  return !without_padding.empty() && text.size() <= token_bytes_max &&
         std::all_of(without_padding.begin(), without_padding.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 ||
                  std::string_view{"-._~+/"}.find(static_cast<char>(c)) != std::string_view::npos;
         });
}

// The token in `credentials` (RFC 6750): the scheme in any case, then the token.
std::optional<std::string_view> token_of(std::string_view credentials) {
  constexpr std::string_view scheme = "Bearer ";
  if (!equal_without_case(credentials.substr(0, scheme.size()), scheme)) return std::nullopt;
  const std::string_view token = trimmed(credentials.substr(scheme.size()));
  return is_token(token) ? std::optional{token} : std::nullopt;
}

// The host of `HOST:PORT`, where the port is optional; any other text unchanged.
std::string without_port(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  const bool has_port =
      colon != text.npos && text.find_first_not_of("0123456789", colon + 1) == text.npos;
  std::string host = has_port ? text.substr(0, colon) : text;
  const bool is_v6 = host.size() > 2 && host.front() == '[' && host.back() == ']';
  return is_v6 ? host.substr(1, host.size() - 2) : host;
}

// Whether a browser may have been led here by another machine's name. Programs other than browsers
// may send any name of letters, digits and hyphens, like `Host: x`; a name with a dot is always
// refused.
bool may_be_rebound(const std::string& host, const Sender& sender) {
  if (is_loopback(without_port(host))) return false;
  return sender.may_be_browser || !std::all_of(host.begin(), host.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '-';
         });
}

}  // namespace

Access::Access(TokenFiles files, std::string scheme)
    : files_{std::move(files)}, scheme_{std::move(scheme)} {
  reload();
}

void Access::reload() {
  tokens_.store(std::make_shared<const Tokens>(Tokens{read(files_.relay), read(files_.admin)}));
}

std::vector<Access::Digest> Access::read(const std::optional<std::filesystem::path>& file) {
  if (!file) return {};
  std::string content;
  try {
    content = base::read_secret_file(*file);
  } catch (const base::FileError& error) {
    throw TokenFileError{"cannot use the token file " + std::string{error.what()}};
  }
  std::vector<Digest> digests;
  std::size_t line_number = 0;
  for (const std::string_view line : split(content, '\n')) {
    ++line_number;
    const std::string_view token = trimmed(line);
    if (token.empty()) continue;
    if (!is_token(token)) {
      throw TokenFileError{
          "token file " + file->string() + ", line " + std::to_string(line_number) +
          ": a token has at most 4096 characters: letters, digits and -._~+/, with "
          "optional = at the end"};
    }
    digests.push_back(digest_of(token));
  }
  if (digests.empty()) {
    throw TokenFileError{"token file " + file->string() +
                         " has no token; write one per line, as `openssl rand -hex 32` makes them"};
  }
  return digests;
}

Access::Digest Access::digest_of(std::string_view token) {
  Digest digest;
  ::SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), digest.data());
  return digest;
}

// Takes the same time wherever the digest is, and if it is missing.
bool Access::has(const std::vector<Digest>& digests, const Digest& digest) {
  bool found = false;
  for (const Digest& known : digests) {
    found |= ::CRYPTO_memcmp(known.data(), digest.data(), digest.size()) == 0;
  }
  return found;
}

std::optional<Problem> Access::refuse(Scope scope, const Sender& sender) const {
  if (scope == Scope::anyone) return std::nullopt;
  return has_tokens() ? refuse_without_token(scope, sender) : refuse_page(sender);
}

std::optional<Problem> Access::refuse_without_token(Scope scope, const Sender& sender) const {
  if (sender.authorization.empty()) {
    return unauthorized("this call needs a token: Authorization: Bearer …", false);
  }
  if (sender.authorization.size() > 1) return unauthorized("Authorization is given twice", true);
  const auto token = token_of(sender.authorization.front());
  if (!token) return unauthorized("Authorization is not of the form: Bearer …", true);
  const Digest digest = digest_of(*token);
  const auto tokens = tokens_.load();
  const bool is_admin = has(tokens->admin, digest);
  const bool is_relay = has(tokens->relay, digest);
  if (!is_admin && !is_relay) return unauthorized("this server does not know the token", true);
  if (scope == Scope::operators && !is_admin) {
    return forbidden("this call needs an admin's token, not a relay's");
  }
  return std::nullopt;
}

std::optional<Problem> Access::refuse_page(const Sender& sender) const {
  if (sender.is_forwarded) {
    return forbidden(
        "a proxy has forwarded this request; without tokens the server serves this machine alone: "
        "start it with --relay-token-file and --admin-token-file");
  }
  const std::string host{sender.host.value_or("")};
  if (may_be_rebound(host, sender)) {
    return forbidden("Host \"" + base::printable(host) +
                     "\" is not this machine; without tokens the server answers only to 127.0.0.1, "
                     "[::1] and localhost");
  }
  if (sender.origin && !equal_without_case(*sender.origin, scheme_ + "://" + host)) {
    return forbidden("Origin \"" + base::printable(*sender.origin) +
                     "\" is another site; without tokens only the server's own page may call");
  }
  if (sender.fetch_site && *sender.fetch_site != "same-origin" && *sender.fetch_site != "none") {
    return forbidden("Sec-Fetch-Site \"" + base::printable(*sender.fetch_site) +
                     "\": without tokens only the server's own page may call");
  }
  return std::nullopt;
}

bool is_loopback(const std::string& host) {
  in_addr v4{};
  if (::inet_pton(AF_INET, host.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24U) == 127;
  in6_addr v6{};
  if (::inet_pton(AF_INET6, host.c_str(), &v6) == 1) return IN6_IS_ADDR_LOOPBACK(&v6);
  return equal_without_case(host, "localhost");
}

}  // namespace credits::http
