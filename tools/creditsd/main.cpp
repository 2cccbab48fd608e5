// creditsd: starts the store, the actors and the HTTP server, and stops them in an order that loses
// no acknowledged write.
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "actors/environment.hpp"
#include "http/api/access.hpp"
#include "http/api/answer.hpp"
#include "http/api/api.hpp"
#include "http/api/quota_storage.hpp"
#include "http/codec/quota.hpp"
#include "http/server/server.hpp"
#include "http/server/tls.hpp"
#include "persistence/postgres/store.hpp"
#include "persistence/quota_file.hpp"
#include "tools/creditsd/gone_tiers.hpp"
#include "tools/creditsd/import.hpp"
#include "tools/creditsd/last_words.hpp"
#include "tools/creditsd/log.hpp"
#include "tools/creditsd/manager.hpp"
#include "tools/creditsd/options.hpp"
#include "tools/creditsd/quota_follower.hpp"
#include "tools/creditsd/quota_table.hpp"
#include "tools/creditsd/signals.hpp"
#include "tools/creditsd/start.hpp"
#include "tools/creditsd/watch.hpp"
#include "tools/running_ledger.hpp"
#include "tools/standard_descriptors.hpp"
#include "tools/version.hpp"

namespace credits::creditsd {

namespace {

constexpr int start_error = 1;

// For the ledger's files, and for connections that are answered with 503 because there are too
// many.
constexpr rlim_t descriptors_spare = 256;

// The usual soft limit is 1,024.
rlim_t raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return RLIM_INFINITY;
  const rlim_t found = std::exchange(limit.rlim_cur, limit.rlim_max);
  return ::setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : found;
}

// How many connections there can be, as each takes a descriptor, and `spare` are for the rest: one
// that cannot be accepted waits without an answer, while one too many is told so.
std::size_t connections_within(rlim_t descriptors, rlim_t spare, std::size_t wanted) {
  const std::string found = "only " + std::to_string(descriptors) + " files may be open at once";
  const std::string advice = "raise the limit (ulimit -Hn, or systemd's LimitNOFILE=)";
  if (descriptors <= spare) {
    throw std::runtime_error{found + "; creditsd needs at least " + std::to_string(spare + 1) +
                             ": " + advice};
  }
  const std::size_t possible = descriptors - spare;
  if (wanted <= possible) return wanted;
  log_warning("connections_lowered", "--max-connections " + std::to_string(wanted) +
                                         " is lowered to " + std::to_string(possible) + ": " +
                                         found + "; " + advice);
  return possible;
}

void import_old_ledger(const Options& options, const actors::Gateway& gateway,
                       const actors::Environment& environment) {
  const auto file = options.data_dir / "credits.json";
  // A dangling link counts as a file: an empty ledger in its place would give all credits again.
  if (!std::filesystem::exists(std::filesystem::symlink_status(file))) return;
  const auto installs = environment.figures.installs > 0
                            ? std::nullopt
                            : import_ledger_file(file, gateway, environment);
  if (installs) {
    log_info("import", "imported " + std::to_string(*installs) + " installs from " + file.string());
  } else {
    log_debug("import_skipped", file.string() + " is ignored: the ledger is not empty");
  }
}

std::filesystem::path quota_path_of(const Options& options) {
  return options.quota_file.value_or(options.data_dir / persistence::quota_file);
}

std::unique_ptr<http::QuotaStorage> quota_file_of(const Options& options) {
  const auto path = quota_path_of(options);
  auto file = std::make_unique<http::QuotaFile>(path);
  if (!options.quota_file && !std::filesystem::exists(path)) {
    file->write(http::codec::default_quota());
    log_info("quota_written", "no quota file yet: wrote the default to " + path.string());
  }
  return file;
}

std::unique_ptr<http::QuotaStorage> quota_table_of(const Options& options) {
  const auto path = quota_path_of(options);
  const bool has_file = options.quota_file || std::filesystem::exists(path);
  const auto first = has_file ? http::QuotaFile{path}.read() : http::codec::default_quota();
  auto table = std::make_unique<QuotaTable>(options.store, first);
  if (has_file && table->read() != first) {
    log_warning(
        "quota_file_ignored",
        "the quota in PostgreSQL is in force, and " + path.string() +
            " has another; PUT /v1/quota or `creditsctl quota set` replaces it for all nodes");
  }
  return table;
}

actors::Tuning tuning_of(const Options& options) {
  actors::Tuning tuning;
  tuning.passivate_after = options.passivate_after;
  tuning.live_installs_max = options.live_installs_max;
  tuning.keep_entries = options.keep_entries;
  tuning.prune_interval = std::clamp(options.keep_entries / 2, std::chrono::milliseconds{1'000},
                                     actors::Tuning{}.prune_interval);
  return tuning;
}

// The parts that SIGHUP reloads.
struct Reloaded {
  http::QuotaKeeper& quota;
  http::Access& access;
  http::Tls* tls;
};

template <class Reload>
void reload(const char* what, Reload read_again) {
  try {
    read_again();
    log_info("reloaded", std::string{"SIGHUP: reloaded "} + what);
  } catch (const std::exception& error) {
    log_error("reload_failed", std::string{"SIGHUP: reloading "} + what +
                                   " failed, and the old state stays in force: " + error.what());
  }
}

void reload(const Reloaded& files) {
  reload("the quota", [&] { files.quota.reload(); });
  if (files.access.has_tokens()) reload("the tokens", [&] { files.access.reload(); });
  if (files.tls) reload("the TLS certificate and key", [&] { files.tls->reload(); });
}

http::ServerOptions server_options_of(const Options& options, const http::Tls* tls) {
  http::ServerOptions server_options;
  server_options.addresses = options.listen;
  server_options.socket_mode = options.listen_mode;
  server_options.loops = options.loops;
  server_options.tls = tls;
  server_options.report = [](std::string_view name, const std::string& text) {
    log({std::string{name}, text});
  };
  server_options.connections_max = connections_within(
      raise_descriptor_limit(), descriptors_spare + http::descriptors_of(server_options),
      options.connections_max);
  return server_options;
}

void require_tokens_beyond_this_machine(const Options& options) {
  if (options.token_files.any()) return;
  for (const http::Address& address : options.listen) {
    if (address.is_unix() || http::is_loopback(address.host)) continue;
    throw std::runtime_error{"--listen " + address.host +
                             ": without tokens creditsd listens on loopback and Unix sockets only, "
                             "because anyone who reaches it could spend credits; give it "
                             "--relay-token-file and --admin-token-file, or listen on 127.0.0.1"};
  }
}

std::vector<std::string> urls_of(const std::vector<http::Address>& addresses,
                                 const std::string& scheme) {
  std::vector<std::string> urls;
  for (const http::Address& address : addresses) {
    urls.push_back((address.is_unix() ? "" : scheme + "://") + text_of(address));
  }
  return urls;
}

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ", ") + part;
  return text;
}

std::string lines_of(const std::vector<std::string>& urls) {
  std::string lines;
  for (const std::string& url : urls) lines += "listening on " + url + "\n";
  return lines;
}

// Not needed for SQLite, whose engine makes its own.
void make_directory(const std::filesystem::path& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (!error && std::filesystem::is_directory(directory)) return;
  throw std::runtime_error{"cannot make the data directory " + directory.string() + ": " +
                           error.message() + "; choose a directory that this user may make"};
}

std::string name_of_ledger(const Options& options) {
  return persistence::is_postgres_uri(options.store) ? persistence::name_of_postgres(options.store)
                                                     : options.data_dir.string();
}

// Writes the lines for the program's starter, which may never read them: a thread that blocks on
// that ends with the process. The log of the start is written first.
void announce(std::string lines) {
  std::thread{[lines = std::move(lines)] {
    flush_log();
    for (std::string_view left = lines; !left.empty();) {
      const ssize_t written = ::write(STDOUT_FILENO, left.data(), left.size());
      if (written < 0 && errno != EINTR) return;
      if (written > 0) left.remove_prefix(static_cast<std::size_t>(written));
    }
  }}.detach();
}

void run(const Options& options, Signals& signals) {
  require_tokens_beyond_this_machine(options);
  const std::string scheme = options.tls_files ? "https" : "http";
  http::Access access{options.token_files, scheme};
  std::optional<http::Tls> tls;
  if (options.tls_files) tls.emplace(*options.tls_files);

  const http::ServerOptions server_options = server_options_of(options, tls ? &*tls : nullptr);
  const actors::Tuning tuning = tuning_of(options);
  const bool is_shared = persistence::is_postgres_uri(options.store);
  if (is_shared) make_directory(options.data_dir);
  const auto store = open_store_when_available(options.store, options.data_dir);
  const Ending closing_store{signals, "closing the ledger"};
  const auto quota_storage = is_shared ? quota_table_of(options) : quota_file_of(options);
  actors::Environment environment{
      actors::system_time, actors::random_mutation_id, log,
      http::record,        options.has_hardware,       actors::QuotaInForce{quota_storage->read()}};
  http::QuotaKeeper quota{*quota_storage, environment.quota};
  std::optional<QuotaFollower> quota_follower;
  if (is_shared) quota_follower.emplace(quota);
  RunningLedger running{*store, environment, tuning};
  const Ending closing_actors{signals, "writing the last changes and the snapshots"};
  import_old_ledger(options, running.gateway(), environment);
  GoneTiers gone_tiers{environment, running.gateway()};
  http::HttpFigures figures;
  http::Api api{{running.gateway(),
                 environment,
                 quota,
                 access,
                 figures,
                 {version, std::string{store->engine()}}},
                {.requests_in_flight_max = options.requests_in_flight_max,
                 .slow_request = options.slow_request}};
  http::Server server{server_options, figures.server, api};
  const auto urls = urls_of(server.start(), scheme);
  Watch watch{environment.figures, figures};
  const Reloaded files{quota, access, tls ? &*tls : nullptr};
  log_info("started", "creditsd " + std::string{version} + " serves " + name_of_ledger(options) +
                          " on " + joined(urls));
  signals.attend({.stop = [&] { server.stop(); },
                  .reload = [&] { reload(files); },
                  .look =
                      [&] {
                        watch.look_if_due();
                        gone_tiers.look();
                      }},
                 [&] {
                   announce(lines_of(urls));
                   notify_manager("READY=1\nSTATUS=serves " + joined(urls));
                   server.serve();
                 });
  watch.look();
}

// A write without a reader, or beyond the limit of a file's size, then fails with an error instead.
void ignore_signals_of_writes() {
  for (const int signal : {SIGPIPE, SIGXFSZ}) std::signal(signal, SIG_IGN);
}

// The standard library's text does not mention that a thread could not be started.
std::string reason_of(const std::exception& error) {
  const auto* const of_system = dynamic_cast<const std::system_error*>(&error);
  if (!of_system || of_system->code() != std::errc::resource_unavailable_try_again) {
    return error.what();
  }
  return "cannot start a thread: " + std::string{error.what()} +
         "; raise the limit of processes (ulimit -u, or systemd's TasksMax=)";
}

// Returns the exit status.
int run_to_the_end(const Options& options) {
  Signals signals;
  try {
    run(options, signals);
    log_info("stopped", "all acknowledged writes are durable");
    return EXIT_SUCCESS;
  } catch (const std::exception& error) {
    log_start_error(reason_of(error));
    return start_error;
  }
}

int end_with(int status) {
  if (!flush_log()) std::_Exit(status);  // the thread that writes the log is still running
  return status;
}

}  // namespace

}  // namespace credits::creditsd

int main(int argc, char** argv) {
  using namespace credits::creditsd;
  credits::open_standard_descriptors();
  ignore_signals_of_writes();
  try {
    const Options options = parse_options(argc, argv);
    ::umask(S_IRWXG | S_IRWXO);  // the ledger is its owner's alone
    block_handled_signals();
    set_up_log(options.log_level, options.log_format);
    tell_before_abort();
    return end_with(run_to_the_end(options));
  } catch (const Exit& exit) {
    return exit.status;
  } catch (const std::exception& error) {
    log_start_error(reason_of(error));
    return end_with(start_error);
  }
}
