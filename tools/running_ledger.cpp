#include "tools/running_ledger.hpp"

#include <algorithm>
#include <thread>
#include <utility>

#include "persistence/postgres/store.hpp"
#include "persistence/sqlite/store.hpp"

namespace credits {

namespace {

actors::Tuning on_every_core(actors::Tuning tuning) {
  tuning.router_shards = std::max(1U, std::thread::hardware_concurrency());
  return tuning;
}

}  // namespace

std::unique_ptr<persistence::Store> open_store(
    const std::string& store, const std::filesystem::path& data_dir,
    const persistence::Report& report,
    std::function<void(std::uint64_t, std::uint64_t)> report_replay) {
  if (persistence::is_postgres_uri(store)) {
    persistence::PostgresOptions options;
    options.report = report;
    return persistence::open_postgres_store(store, options);
  }
  persistence::SqliteOptions options;
  options.report = report;
  options.report_replay = std::move(report_replay);
  return persistence::open_sqlite_store(data_dir, options);
}

RunningLedger::RunningLedger(persistence::Store& store, actors::Environment& environment,
                             const actors::Tuning& tuning)
    : system_{config_},
      actors_{actors::spawn_ledger(system_, store, environment, on_every_core(tuning))} {}

RunningLedger::~RunningLedger() {
  caf::scoped_actor self{system_};
  actors::close_ledger(self, actors_);
}

}  // namespace credits
