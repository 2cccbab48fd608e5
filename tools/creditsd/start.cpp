#include "tools/creditsd/start.hpp"

#include <chrono>
#include <cstdint>
#include <string_view>
#include <thread>

#include "persistence/postgres/store.hpp"
#include "tools/creditsd/log.hpp"
#include "tools/creditsd/manager.hpp"
#include "tools/running_ledger.hpp"

namespace credits::creditsd {

namespace {

using std::chrono::steady_clock;

constexpr std::chrono::milliseconds try_again_after{500};
constexpr std::chrono::seconds notify_interval{1};
constexpr std::chrono::seconds log_interval{5};

// Logs an engine's report as a warning, except for the server that it has found.
void report(std::string_view name, const std::string& text) {
  const bool is_usual = name == "database_connected";
  log({name, text, is_usual ? actors::Severity::info : actors::Severity::warning});
}

// A server may come up, or get room, while this process waits; a disk needs its operator.
bool may_become_available(const std::string& store, persistence::StoreErrorKind kind) {
  using persistence::StoreErrorKind;
  return persistence::is_postgres_uri(store) &&
         (kind == StoreErrorKind::unavailable || kind == StoreErrorKind::full);
}

class Replay {
 public:
  void operator()(std::uint64_t replayed, std::uint64_t total) {
    const auto now = steady_clock::now();
    if (now - notified_at_ < notify_interval) return;
    notified_at_ = now;
    const std::string text = "replaying the journal: " + std::to_string(replayed) + " of " +
                             std::to_string(total) + " entries";
    ask_manager_for_time(text);
    if (now - logged_at_ < log_interval) return;
    logged_at_ = now;
    log_info("replaying", text);
  }

 private:
  steady_clock::time_point notified_at_ = steady_clock::now();
  steady_clock::time_point logged_at_ = steady_clock::now();
};

}  // namespace

std::unique_ptr<persistence::Store> open_store_when_available(
    const std::string& store, const std::filesystem::path& data_dir) {
  for (std::string reported;;) {
    try {
      return open_store(store, data_dir, report, Replay{});
    } catch (const persistence::StoreError& error) {
      if (!may_become_available(store, error.kind())) throw;
      ask_manager_for_time("waiting for the store: " + std::string{error.what()});
      if (reported != error.what()) log({"waiting_for_store", error.what()});
      reported = error.what();
    }
    std::this_thread::sleep_for(try_again_after);
  }
}

}  // namespace credits::creditsd
