#include "actors/reader.hpp"

#include <utility>

#include "actors/base/assert.hpp"
#include "actors/handlers.hpp"

namespace credits::actors {

namespace {

// Counts a failure of a read if it is damage, and returns whether it is. Every failure must pass
// here.
bool note_damage(Environment& environment, const persistence::StoreError& error) {
  const bool is_damage = error.kind() == persistence::StoreErrorKind::damaged;
  if (is_damage) ++environment.figures.damaged_installs;
  return is_damage;
}

}  // namespace

void LoaderState::load(std::string install_id, install_actor install) {
  if (install_ids_.empty()) self->send(self, tick_atom::value);
  install_ids_.push_back(std::move(install_id));
  installs_.push_back(std::move(install));
}

void LoaderState::read() {
  const auto install_ids = std::exchange(install_ids_, {});
  const auto installs = std::exchange(installs_, {});
  auto loaded = read_rows(install_ids);
  CREDITS_ENSURES(installs.size() == loaded.size());
  for (std::size_t i = 0; i < installs.size(); ++i) {
    self->send(installs[i], loaded_atom::value, std::move(loaded[i]));
  }
}

std::vector<Loaded> LoaderState::read_rows(std::span<const std::string> install_ids) {
  std::vector<Loaded> loaded;
  try {
    for (auto& stored : store->load(install_ids)) loaded.push_back({std::move(stored), {}, {}});
    CREDITS_ENSURES(loaded.size() == install_ids.size());
    for (std::size_t i = 0; i < install_ids.size(); ++i) {
      // After the row: a write in between only adds a key, which does no harm.
      loaded[i].replay_keys = store->replay_keys(install_ids[i], replay_keys_known_max);
    }
    return loaded;
  } catch (const persistence::StoreError& error) {
    const bool is_damage = error.kind() == persistence::StoreErrorKind::damaged;
    if (!is_damage || install_ids.size() == 1)
      return std::vector(install_ids.size(), failed(error));
  }
  // One of the rows is damaged: read each by itself, so that the others do not fail with it.
  loaded.clear();
  for (std::size_t i = 0; i < install_ids.size(); ++i) {
    loaded.push_back(read_rows(install_ids.subspan(i, 1)).front());
    const auto& failure = loaded.back().failure;
    if (failure && !failure->is_damage) break;
  }
  // The store itself has failed in the meantime, for the remaining installs too.
  if (loaded.size() < install_ids.size()) loaded.resize(install_ids.size(), Loaded{loaded.back()});
  return loaded;
}

Loaded LoaderState::failed(const persistence::StoreError& error) {
  environment->report(
      {"load_failed", std::string{"an install could not be loaded: "} + error.what()});
  return {{}, {}, ReadFailure{error.what(), note_damage(*environment, error)}};
}

void LoaderState::recall(const std::string& install_id, std::vector<ledger::ReplayKey> replay_keys,
                         const install_actor& install) {
  Recalled recalled;
  try {
    recalled.entries = store->recall(install_id, replay_keys);
    CREDITS_ENSURES(recalled.entries.size() == replay_keys.size());
    recalled.replay_keys = std::move(replay_keys);
  } catch (const persistence::StoreError& error) {
    const bool is_damage = note_damage(*environment, error);
    // Without the install's id if the store is gone: the log combines equal texts.
    const std::string whose =
        is_damage ? "a replay key of install \"" + install_id + "\"" : "a replay key";
    environment->report({"recall_failed", whose + " could not be looked up: " + error.what()});
    recalled.failure = {error.what(), is_damage};
  }
  self->send(install, recalled_atom::value, std::move(recalled));
}

loader_actor::behavior_type loader(loader_actor::stateful_pointer<LoaderState> self,
                                   persistence::Store* store, Environment* environment,
                                   std::size_t replay_keys_known_max) {
  self->state.store = store;
  self->state.environment = environment;
  self->state.replay_keys_known_max = replay_keys_known_max;
  return behavior_of(
      self, LoaderState::name,
      [self](load_atom, std::string& install_id, install_actor& install) {
        self->state.load(std::move(install_id), std::move(install));
      },
      [self](recall_atom, const std::string& install_id,
             std::vector<ledger::ReplayKey>& replay_keys, const install_actor& install) {
        self->state.recall(install_id, std::move(replay_keys), install);
      },
      [self](tick_atom) { self->state.read(); },
      [self](close_atom) {
        self->quit();
        return caf::ok_atom::value;
      });
}

namespace {

// Fulfils the request's promise with what `read` returns or throws; drops it if nobody waits any
// more.
template <class Request, class Promise, class Read>
void fulfil(Environment& environment, const Request& request, const Promise& promise, Read read) {
  if (std::chrono::steady_clock::now() > request.deadline) return;
  try {
    promise->set_value(read());
  } catch (const persistence::StoreError& error) {
    note_damage(environment, error);
    promise->set_exception(std::current_exception());
  }
}

// Counts the damage that it meets, long after the reporter has given it away.
class NotingCursor : public persistence::RowCursor {
 public:
  NotingCursor(std::unique_ptr<persistence::RowCursor> cursor, Environment& environment)
      : cursor_{std::move(cursor)}, environment_{environment} {}

  std::optional<ledger::Row> next() override {
    try {
      return cursor_->next();
    } catch (const persistence::StoreError& error) {
      note_damage(environment_, error);
      throw;
    }
  }

 private:
  const std::unique_ptr<persistence::RowCursor> cursor_;
  Environment& environment_;
};

std::optional<ledger::Row> row_of(persistence::Store& store, const std::string& install_id) {
  return store.peek(std::vector{install_id}).front().row;
}

std::optional<std::vector<ledger::Entry>> entries_of(persistence::Store& store,
                                                     const EntriesRequest& request) {
  if (!row_of(store, request.install_id)) return std::nullopt;
  return store.entries(request.install_id, request.before_version, request.limit);
}

}  // namespace

reporter_actor::behavior_type reporter(reporter_actor::pointer self, persistence::Store* store,
                                       Environment* environment) {
  return behavior_of(
      self, "reporter",
      [store, environment](list_atom, const ListRequest& request) {
        fulfil(*environment, request, request.rows, [&] { return store->list(request.query); });
      },
      [store, environment](entries_atom, const EntriesRequest& request) {
        fulfil(*environment, request, request.entries, [&] { return entries_of(*store, request); });
      },
      [store, environment](snapshot_atom, const SnapshotRequest& request) {
        fulfil(*environment, request, request.cursor,
               [&] { return std::make_shared<NotingCursor>(store->snapshot(), *environment); });
      },
      [store, environment](report_atom, const ReportRequest& request) {
        fulfil(*environment, request, request.report, [&] {
          return InstallReport{request.stats, row_of(*store, request.install_id)};
        });
      },
      [self](close_atom) {
        self->quit();
        return caf::ok_atom::value;
      });
}

}  // namespace credits::actors
