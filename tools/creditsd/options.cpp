#include "tools/creditsd/options.hpp"

#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <sstream>
#include <utility>
#include <vector>

#include "actors/base/files.hpp"
#include "actors/environment.hpp"
#include "http/api/api.hpp"
#include "http/server/server.hpp"
#include "persistence/postgres/store.hpp"
#include "persistence/store.hpp"
#include "tools/creditsd/addresses.hpp"
#include "tools/help.hpp"
#include "tools/version.hpp"

namespace credits::creditsd {

namespace {

constexpr int usage_error = 2;
constexpr const char* environment_prefix = "CREDITSD_";

constexpr const char* footer = R"(Signals:
  SIGTERM, SIGINT  answer the requests in flight, write, and exit, within 50 s; a second signal,
                   at least a second later, exits at once, as does the first during startup
  SIGHUP           reload the quota, tokens and certificate

Exit status:
  0  stopped
  1  it cannot start or continue, or was cut short; the text says why and what to do
  2  the command line or the configuration file is wrong

Examples:
  $ creditsd --data-dir /var/lib/creditsd
  $ creditsd --store postgresql://credits@db.example/credits
  $ creditsd --listen 127.0.0.1:8787,unix:/run/creditsd/creditsd.sock
  $ creditsd --listen 0.0.0.0:8787 --relay-token-file relay.tokens --admin-token-file admin.tokens)";

std::string environment_name(const CLI::Option& option) {
  std::string name = environment_prefix + option.get_lnames().front();
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) {
    return c == '-' ? '_' : static_cast<char>(std::toupper(c));
  });
  return name;
}

bool is_setting(const CLI::Option& option) {
  const auto& names = option.get_lnames();
  return !names.empty() && names.front() != "help" && names.front() != "version";
}

// In CLI11 the configuration file overrides the environment. Therefore the variables become
// arguments in front of the real ones: arguments override the file, and the last of several
// arguments counts.
std::vector<std::string> arguments_of(CLI::App& app, int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  for (const CLI::Option* option : app.get_options()) {
    if (!is_setting(*option)) continue;
    const char* const value = std::getenv(environment_name(*option).c_str());
    if (value == nullptr || *value == '\0') continue;
    arguments.insert(arguments.begin(), "--" + option->get_lnames().front() + "=" + value);
  }
  std::reverse(arguments.begin(), arguments.end());  // CLI11 expects a vector in reverse
  return arguments;
}

// CLI11 would block on a pipe, and does not know byte order marks. The last line of a duplicate
// setting counts, as the last flag does: CLI11 would ignore it if other lines stand between. A
// value is never a list: CLI11 would split it at commas and spaces, and use the last part.
class ConfigFile : public CLI::ConfigBase {
 public:
  ConfigFile() {
    constexpr char in_no_value = '\x01';
    arrayBounds(in_no_value, in_no_value);
  }

  // Reads the file for from_config(). Returns the error; empty if there is none.
  std::string read(const std::string& path) {
    try {
      text_ = base::read_text_file(path);
      return "";
    } catch (const base::FileError& error) {
      return error.what();
    }
  }

  std::vector<CLI::ConfigItem> from_config(std::istream&) const override {
    std::istringstream input{text_};
    std::vector<CLI::ConfigItem> last;
    for (CLI::ConfigItem& item : CLI::ConfigBase::from_config(input)) {
      std::erase_if(last, [&](const CLI::ConfigItem& one) { return one.name == item.name; });
      last.push_back(std::move(item));
    }
    return last;
  }

 private:
  std::string text_;
};

std::string fault_of_addresses(const std::string& text) {
  try {
    parse_addresses(text);
    return "";
  } catch (const AddressError& error) {
    return error.what();
  }
}

constexpr unsigned mode_max = 0777;
constexpr unsigned mode_min = S_IRUSR | S_IWUSR;

// Parses an octal mode, as chmod(1) does.
std::optional<unsigned> parse_mode(const std::string& text) {
  unsigned mode = 0;
  const char* const end = text.data() + text.size();
  const auto [parsed_to, error] = std::from_chars(text.data(), end, mode, 8);
  if (error != std::errc{} || parsed_to != end) return std::nullopt;
  if (mode > mode_max || (mode & mode_min) != mode_min) return std::nullopt;
  return mode;
}

std::string fault_of_mode(const std::string& text) {
  if (parse_mode(text)) return "";
  return "\"" + text +
         "\" is not an octal mode from 0600 to 0777 that lets the owner read and write";
}

std::string fault_of_store(const std::string& text) {
  if (text == "sqlite") return "";
  if (persistence::is_postgres_uri(text)) {
    return persistence::fault_of_postgres_uri(text).value_or("");
  }
  return "\"" + text + "\" is not a store; the stores are sqlite and postgresql://…";
}

std::string fault_of_file(const std::string& text) {
  return text.empty() ? "the file name is empty" : "";
}

constexpr std::int64_t duration_ms_max = std::int64_t{36'500} * 86'400'000;

// `10m` becomes 600000.
CLI::Validator duration_in_milliseconds() {
  const std::map<std::string, std::int64_t> milliseconds_of{
      {"ms", 1}, {"s", 1'000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}};
  const CLI::AsNumberWithUnit to_milliseconds{milliseconds_of,
                                              CLI::AsNumberWithUnit::UNIT_REQUIRED};
  const auto convert = [to_milliseconds](std::string& text) -> std::string {
    const std::string given = "\"" + text + "\": ";
    std::string fault;
    if (text.empty() || std::isdigit(static_cast<unsigned char>(text.front())) == 0) {
      return given + "a duration reads like 10m";
    }
    try {
      fault = to_milliseconds(text);
    } catch (const CLI::ValidationError& error) {
      fault = error.what();
    }
    if (!fault.empty()) return given + fault + "; a duration reads like 10m";
    if (!CLI::Range(std::int64_t{1}, duration_ms_max)(text).empty()) {
      return given + "a duration is from 1ms to 36500d";
    }
    return "";
  };
  return {convert, "DURATION"};
}

}  // namespace

Options parse_options(int argc, char** argv) {
  Options options;
  std::string listen = "127.0.0.1:8787";
  std::string listen_mode = "0660";
  std::string quota_file;
  std::int64_t passivate_after_ms = 0;
  std::int64_t keep_entries_ms = 0;
  std::int64_t slow_request_ms = 0;
  std::string relay_token_file;
  std::string admin_token_file;
  std::string tls_cert;
  std::string tls_key;
  options.data_dir = "./data";
  options.store = "sqlite";
  options.live_installs_max = actors::Tuning{}.live_installs_max;
  options.connections_max = http::ServerOptions{}.connections_max;
  options.requests_in_flight_max = http::ApiLimits{}.requests_in_flight_max;
  options.loops = http::ServerOptions{}.loops;
  options.log_level = "info";
  options.log_format = "text";

  CLI::App app{"creditsd serves a ledger of credits to AI relays over HTTP."};
  app.name("creditsd");
  app.footer(footer);
  app.formatter(std::make_shared<HelpFormatter>());
  app.option_defaults()
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)
      ->always_capture_default();
  app.set_version_flag("--version", version);
  const auto config_file = std::make_shared<ConfigFile>();
  CLI::Validator readable{[config_file](const std::string& path) {
                            return path.empty() ? std::string{} : config_file->read(path);
                          },
                          ""};
  app.set_config("--config", "",
                 "Configuration file, one setting per line: `listen = 127.0.0.1:8787`")
      ->check(readable.application_index(0))  // checks only the last one given
      ->type_name("FILE");
  app.config_formatter(config_file);
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.add_option(
         "--listen", listen,
         "Addresses to listen on, separated by commas: HOST:PORT, where port 0 picks a free "
         "one, or unix:/PATH for a Unix socket")
      ->check(CLI::Validator{fault_of_addresses, "ADDRESSES"});
  app.add_option("--listen-mode", listen_mode, "Permissions of the Unix sockets")
      ->check(CLI::Validator{fault_of_mode, "MODE"});
  app.add_option("--data-dir", options.data_dir, "Directory of the ledger; created if missing")
      ->type_name("DIR");
  app.add_option("--store", options.store,
                 "Where the ledger is stored: in the data directory, or in PostgreSQL")
      ->check(CLI::Validator{fault_of_store, "sqlite|postgresql://…"});
  app.add_option("--quota", quota_file,
                 "Quota file [default: quota.json in the data directory, created if missing]; over "
                 "PostgreSQL it only initialises a new ledger");
  app.add_flag("--hardware,!--no-hardware", options.has_hardware,
               "Whether the relays have hardware of their own, if a request does not say");
  app.add_option("--relay-token-file", relay_token_file,
                 "File of the relays' tokens, one per line; closed to others");
  app.add_option("--admin-token-file", admin_token_file,
                 "File of the admins' tokens; with either file, calls need a token");
  CLI::Option* const cert =
      app.add_option("--tls-cert", tls_cert, "Certificate and its chain, PEM; serves HTTPS");
  CLI::Option* const key = app.add_option("--tls-key", tls_key, "The certificate's key, PEM");
  cert->needs(key);
  key->needs(cert);
  app.add_option("--passivate-after", passivate_after_ms,
                 "Retire an install's actor after this much idle time")
      ->transform(duration_in_milliseconds())
      ->default_val("10m");
  app.add_option("--max-live-installs", options.live_installs_max,
                 "Maximum of live actors; beyond it, the longest idle one is retired")
      ->check(CLI::Range(1, 100'000'000));
  app.add_option("--keep-entries", keep_entries_ms,
                 "Prune entries of the audit trail that are older than this")
      ->transform(duration_in_milliseconds())
      ->default_val("400d");
  app.add_option("--max-connections", options.connections_max,
                 "Maximum of connections; beyond it, 503 at once")
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--max-in-flight", options.requests_in_flight_max,
                 "Maximum of requests in flight; beyond it, 503 at once")
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--loops", options.loops, "Threads that serve connections; 0: one per core")
      ->check(CLI::Range(0, 256));
  app.add_option("--log-level", options.log_level, "debug, info, warn or error")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}));
  app.add_option(
         "--log-format", options.log_format,
         "text; json: one object per line; or journal: the systemd journal, with severities")
      ->check(CLI::IsMember({"text", "json", "journal"}));
  app.add_option("--slow-request", slow_request_ms, "Log requests that take at least this long")
      ->transform(duration_in_milliseconds())
      ->default_val("1s");
  for (const char* name :
       {"--quota", "--relay-token-file", "--admin-token-file", "--tls-cert", "--tls-key"}) {
    app.get_option(name)->check(CLI::Validator{fault_of_file, ""})->type_name("FILE");
  }
  for (CLI::Option* option : app.get_options()) {
    if (is_setting(*option)) {
      option->description(option->get_description() + " [" + environment_name(*option) + "]");
    }
  }

  try {
    app.parse(arguments_of(app, argc, argv));
  } catch (const CLI::ParseError& error) {
    throw Exit{app.exit(error) == 0 ? 0 : usage_error};
  }
  options.listen = parse_addresses(listen);
  options.listen_mode = parse_mode(listen_mode).value();
  options.passivate_after = std::chrono::milliseconds{passivate_after_ms};
  options.keep_entries = std::chrono::milliseconds{keep_entries_ms};
  options.slow_request = std::chrono::milliseconds{slow_request_ms};
  if (!quota_file.empty()) options.quota_file = quota_file;
  if (!relay_token_file.empty()) options.token_files.relay = relay_token_file;
  if (!admin_token_file.empty()) options.token_files.admin = admin_token_file;
  if (!tls_cert.empty()) options.tls_files = {tls_cert, tls_key};
  return options;
}

}  // namespace credits::creditsd
