#include "actors/reader.hpp"

#include <utility>

#include "actors/handlers.hpp"

namespace credits::actors {

void LoaderState::load(std::string install_id, install_actor asker) {
  if (install_ids_.empty()) self->send(self, tick_atom::value);
  install_ids_.push_back(std::move(install_id));
  askers_.push_back(std::move(asker));
}

void LoaderState::read() {
  const auto install_ids = std::exchange(install_ids_, {});
  const auto askers = std::exchange(askers_, {});
  auto loaded = read_rows(install_ids);
  for (std::size_t i = 0; i < askers.size(); ++i) {
    self->send(askers[i], loaded_atom::value, std::move(loaded[i]));
  }
}

std::vector<Loaded> LoaderState::read_rows(std::span<const std::string> install_ids) {
  std::vector<Loaded> loaded;
  try {
    for (auto& row : store->load(install_ids)) loaded.push_back({std::move(row), {}, {}});
    environment->figures.went_back = store->went_back();
    for (std::size_t i = 0; i < install_ids.size(); ++i) {
      // After the row: what is written in between makes a name too many, which does no harm.
      loaded[i].names = store->names(install_ids[i], names_known_max);
    }
    return loaded;
  } catch (const persistence::StoreDamagedError& error) {
    if (install_ids.size() == 1) return {failed({error.what(), true})};
  } catch (const persistence::StoreError& error) {
    return std::vector(install_ids.size(), failed({error.what()}));
  }
  // One of them is damaged; the others need not fail with it.
  loaded.clear();
  for (std::size_t i = 0; i < install_ids.size(); ++i) {
    loaded.push_back(read_rows(install_ids.subspan(i, 1)).front());
    const auto& failure = loaded.back().failure;
    if (failure && !failure->is_damage) break;
  }
  // The store itself has failed meanwhile: for the rest too.
  if (loaded.size() < install_ids.size()) loaded.resize(install_ids.size(), Loaded{loaded.back()});
  return loaded;
}

Loaded LoaderState::failed(ReadFailure failure) {
  if (failure.is_damage) ++environment->figures.damaged_installs;
  environment->tell({"load_failed", "an install could not be loaded: " + failure.reason});
  return {{}, {}, std::move(failure)};
}

void LoaderState::recall(const std::string& install_id, std::vector<ledger::Name> names,
                         const install_actor& asker) {
  Recalled recalled;
  try {
    recalled.entries = store->recall(install_id, names);
    recalled.names = std::move(names);
  } catch (const persistence::StoreError& error) {
    environment->tell(
        {"recall_failed", std::string{"a name could not be looked up: "} + error.what()});
    recalled.failure = {error.what(),
                        dynamic_cast<const persistence::StoreDamagedError*>(&error) != nullptr};
  }
  self->send(asker, recalled_atom::value, std::move(recalled));
}

loader_actor::behavior_type loader(loader_actor::stateful_pointer<LoaderState> self,
                                   persistence::Store* store, Environment* environment,
                                   std::size_t names_known_max) {
  self->state.store = store;
  self->state.environment = environment;
  self->state.names_known_max = names_known_max;
  return behavior_of(
      self, LoaderState::name,
      [self](load_atom, std::string& install_id, install_actor& asker) {
        self->state.load(std::move(install_id), std::move(asker));
      },
      [self](recall_atom, const std::string& install_id, std::vector<ledger::Name>& names,
             const install_actor& asker) {
        self->state.recall(install_id, std::move(names), asker);
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
void fulfil(const Request& request, const Promise& promise, Read read) {
  if (std::chrono::steady_clock::now() > request.deadline) return;
  try {
    promise->set_value(read());
  } catch (const persistence::StoreError&) {
    promise->set_exception(std::current_exception());
  }
}

std::optional<ledger::Row> row_of(persistence::Store& store, const std::string& install_id) {
  return store.peek(std::vector{install_id}).front();
}

std::optional<std::vector<ledger::Entry>> entries_of(persistence::Store& store,
                                                     const EntriesRequest& request) {
  if (!row_of(store, request.install_id)) return std::nullopt;
  return store.entries(request.install_id, request.before_version, request.limit);
}

}  // namespace

reporter_actor::behavior_type reporter(reporter_actor::pointer self, persistence::Store* store) {
  return behavior_of(
      self, "reporter",
      [store](list_atom, const ListRequest& request) {
        fulfil(request, request.rows, [&] { return store->list(request.query); });
      },
      [store](entries_atom, const EntriesRequest& request) {
        fulfil(request, request.entries, [&] { return entries_of(*store, request); });
      },
      [store](snapshot_atom, const SnapshotRequest& request) {
        fulfil(request, request.cursor,
               [&] { return std::shared_ptr<persistence::RowCursor>{store->snapshot()}; });
      },
      [store](report_atom, const ReportRequest& request) {
        fulfil(request, request.report, [&] {
          return InstallReport{request.vitals, row_of(*store, request.install_id)};
        });
      },
      [self](close_atom) {
        self->quit();
        return caf::ok_atom::value;
      });
}

}  // namespace credits::actors
