#include "tools/creditsctl/options.hpp"

#include <sys/un.h>

#include <charconv>
#include <regex>
#include <sstream>
#include <string_view>

#include "actors/base/files.hpp"
#include "persistence/store.hpp"
#include "tools/creditsctl/failure.hpp"

namespace credits::creditsctl {

namespace {

constexpr int http_port = 80;
constexpr int https_port = 443;

constexpr std::string_view unix_prefix = "unix:";
// The path ends with a NUL in what the system takes.
constexpr std::size_t socket_path_bytes_max = sizeof(sockaddr_un::sun_path) - 1;

std::optional<Url> parse_unix_url(const std::string& text) {
  const std::string path = text.substr(unix_prefix.size());
  if (!path.starts_with('/') || path.size() > socket_path_bytes_max) return std::nullopt;
  return Url{.socket_path = path};
}

std::optional<Url> parse_url(const std::string& text) {
  if (text.starts_with(unix_prefix)) return parse_unix_url(text);
  static const std::regex pattern{
      R"((https?)://(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:/?#@\s]+))(?::([0-9]{1,5}))?/?)"};
  std::smatch parts;
  if (!std::regex_match(text, parts, pattern)) return std::nullopt;
  Url url{parts[1] == "https", parts[2].matched ? parts[2] : parts[3], 0};
  url.port = url.is_https ? https_port : http_port;
  if (parts[4].matched) url.port = std::stoi(parts[4]);
  if (url.port < 1 || url.port > 65'535) return std::nullopt;
  return url;
}

// OpenSSL would wait for a pipe.
std::string fault_of_certificates(const std::string& path) {
  try {
    base::read_file(path);
    return "";
  } catch (const base::FileError& error) {
    return error.what();
  }
}

}  // namespace

void add_options(CLI::App& app, Options& options) {
  add_server_options(app, options);
  app.get_option("--url")->envname("CREDITSCTL_URL");
  app.get_option("--token-file")->envname("CREDITSCTL_TOKEN_FILE");
  app.add_flag("--json", options.json, "Print JSON instead of tables");
}

void add_server_options(CLI::App& app, Options& options) {
  app.add_option("--url", options.url, "The server; unix:/PATH for its Unix socket")
      ->type_name("URL")
      ->capture_default_str();
  app.add_option("--token-file", options.token_file,
                 "File with an administrator's token, not readable by others")
      ->type_name("FILE");
  app.add_option("--ca-file", options.ca_file,
                 "Certificates (PEM) to trust over https, instead of the system's")
      ->check(CLI::Validator{fault_of_certificates, ""})
      ->type_name("FILE");
}

void add_progress_flag(CLI::App& command, bool& show_progress) {
  command.add_flag("--progress", show_progress,
                   "Print a line for each tenth done, if standard error is not a terminal");
}

// Not a CLI11 check: CLI11 ignores an environment variable whose value fails its check.
Url url_of(const Options& options) {
  if (const auto url = parse_url(options.url)) return *url;
  throw Failure{usage_error,
                "--url: \"" + options.url +
                    "\" is not a URL like http://127.0.0.1:8787, or unix:/PATH of a Unix socket"};
}

std::string read_token(const std::filesystem::path& path) {
  try {
    std::istringstream content{base::read_secret_file(path)};
    std::string token;
    if (content >> token) return token;
  } catch (const base::FileError& error) {
    throw Failure{usage_error, "--token-file " + std::string{error.what()}};
  }
  throw Failure{usage_error, "--token-file " + path.string() + ": contains no token"};
}

}  // namespace credits::creditsctl
