// creditsd: puts the store, the actors and the HTTP server together, and takes them down in the
// order that loses nothing that was answered.
#include <pthread.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <csignal>
#include <exception>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "actors/environment.hpp"
#include "http/answer.hpp"
#include "http/api.hpp"
#include "http/codec/quota.hpp"
#include "http/quota_file.hpp"
#include "http/server.hpp"
#include "persistence/sqlite_store.hpp"
#include "tools/creditsd/import.hpp"
#include "tools/creditsd/options.hpp"
#include "tools/running_ledger.hpp"
#include "tools/version.hpp"

namespace credits::creditsd {

namespace {

constexpr int start_error = 1;

void set_up_log(const std::string& level) {
  auto logger = std::make_shared<spdlog::logger>("creditsd",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_level(spdlog::level::from_str(level));
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

// A connection takes a descriptor, and the usual soft limit is 1,024.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

sigset_t handled_signals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&signals, signal);
  return signals;
}

void import_old_ledger(const Options& options, persistence::Store& store,
                       const actors::Environment& environment) {
  const auto file = options.data_dir / "credits.json";
  // A link that leads nowhere is there too: an empty ledger instead would give all credits again.
  if (!std::filesystem::exists(std::filesystem::symlink_status(file))) return;
  if (store.installs() > 0) {
    spdlog::debug("{} is left alone: the ledger is not empty", file.string());
    return;
  }
  const std::size_t installs =
      import_ledger_file(file, store, environment.now(), environment.new_mutation_id);
  spdlog::info("imported {} installs from {}", installs, file.string());
}

std::filesystem::path quota_path_of(const Options& options) {
  const auto path = options.quota_file.value_or(options.data_dir / "quota.json");
  if (!options.quota_file && !std::filesystem::exists(path)) {
    http::write_quota_file(path, http::codec::default_quota());
    spdlog::info("no quota file yet: wrote the default to {}", path.string());
  }
  return path;
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

void reload(http::QuotaFile& quota_file) {
  try {
    quota_file.reload();
    spdlog::info("SIGHUP: quota read again");
  } catch (const http::QuotaFileError& error) {
    spdlog::error("SIGHUP: the quota stays as it is: {}", error.what());
  }
}

// Waits for signals until one says stop.
void handle_signals(http::QuotaFile& quota_file, http::Server& server) {
  const sigset_t signals = handled_signals();
  while (true) {
    int signal = 0;
    if (::sigwait(&signals, &signal) != 0) continue;
    if (signal == SIGHUP) {
      reload(quota_file);
    } else {
      spdlog::info("{}: finishing what is in flight", signal == SIGTERM ? "SIGTERM" : "SIGINT");
      server.stop();
      return;
    }
  }
}

// Handles signals until it is destroyed or one of them has said stop.
class SignalThread {
 public:
  SignalThread(http::QuotaFile& quota_file, http::Server& server)
      : thread_{[&] { handle_signals(quota_file, server); }} {}
  ~SignalThread() {
    ::pthread_kill(thread_.native_handle(), SIGTERM);
    thread_.join();
  }
  SignalThread(const SignalThread&) = delete;
  SignalThread& operator=(const SignalThread&) = delete;

 private:
  std::thread thread_;
};

void serve(const Options& options, http::QuotaFile& quota_file, http::Handler handler) {
  http::ServerOptions server_options;
  server_options.host = options.listen.host;
  server_options.port = options.listen.port;
  server_options.connections_max = options.connections_max;
  http::Server server{server_options, std::move(handler)};
  const int port = server.bind();
  const SignalThread signals{quota_file, server};
  std::cout << "listening on " << url_of({options.listen.host, port}) << std::endl;
  spdlog::info("creditsd {} serves {}", version, options.data_dir.string());
  server.serve();
}

void run(const Options& options) {
  if (!is_loopback(options.listen)) {
    throw std::runtime_error{"--listen " + options.listen.host +
                             ": without tokens creditsd listens on loopback only, as anyone who "
                             "reaches it could spend credits; listen on 127.0.0.1"};
  }
  raise_descriptor_limit();
  const auto store = persistence::open_sqlite_store(options.data_dir);
  const auto quota_path = quota_path_of(options);
  actors::Environment environment{actors::system_time,
                                  actors::random_mutation_id,
                                  [](const std::string& text) { spdlog::warn(text); },
                                  http::record,
                                  options.has_hardware,
                                  actors::QuotaInForce{http::read_quota_file(quota_path)}};
  import_old_ledger(options, *store, environment);
  http::QuotaFile quota_file{quota_path, environment.quota};

  RunningLedger running{*store, environment, tuning_of(options)};
  http::Api api{running.gateway(), environment, quota_file, {options.requests_in_flight_max}};
  serve(options, quota_file,
        [&api](const http::HttpRequest& request) { return api.handle(request); });
}

}  // namespace

}  // namespace credits::creditsd

int main(int argc, char** argv) {
  using namespace credits::creditsd;
  try {
    const Options options = parse_options(argc, argv);
    ::umask(S_IRWXG | S_IRWXO);  // the ledger is its owner's alone
    set_up_log(options.log_level);
    // Before any thread starts: each inherits it, so that sigwait() alone sees them.
    const sigset_t signals = handled_signals();
    ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    run(options);
    spdlog::info("stopped");
    return 0;
  } catch (const Exit& exit) {
    return exit.status;
  } catch (const std::exception& error) {
    std::cerr << "creditsd: " << error.what() << '\n';
    return start_error;
  }
}
