#include "actors/snapshotter.hpp"

#include <algorithm>

#include "actors/handlers.hpp"

namespace credits::actors {

void SnapshotterState::stored(std::uint64_t entries) {
  Since& behind = environment->figures.snapshots_behind;
  if (!behind.has_begun()) behind.begin(std::chrono::steady_clock::now());
  entries_ += entries;
  if (entries_ >= tuning.checkpoint_entries_max) return checkpoint();
  if (!is_scheduled_) schedule(tuning.checkpoint_interval);
}

void SnapshotterState::schedule(std::chrono::milliseconds delay) {
  is_scheduled_ = true;
  self->delayed_send(self, delay, tick_atom::value, checkpoints_);
}

void SnapshotterState::tick(std::uint64_t checkpoints_before) {
  if (checkpoints_before == checkpoints_) checkpoint();
}

void SnapshotterState::checkpoint() {
  is_scheduled_ = false;
  entries_ = 0;
  ++checkpoints_;
  const SteadyTime began = std::chrono::steady_clock::now();
  try {
    store->checkpoint();
    caught_up_to(began);
    checkpoint_worked();
  } catch (const persistence::StoreError& error) {
    checkpoint_failed(error.what());
    schedule(tuning.checkpoint_retry_interval);
  }
}

void SnapshotterState::checkpoint_worked() {
  if (!environment->store_health.worked(StoreHealth::Part::checkpoint)) return;
  environment->report({"checkpoint_recovered", "checkpoints work again", Severity::info});
}

void SnapshotterState::checkpoint_failed(const std::string& reason) {
  ++environment->figures.checkpoint_failures;
  const std::string text = "a checkpoint failed and will be retried: " + reason;
  if (environment->store_health.failed(StoreHealth::Part::checkpoint, text)) {
    environment->report({"checkpoint_failed", text});
  }
}

void SnapshotterState::caught_up_to(SteadyTime time) {
  Figures& figures = environment->figures;
  figures.snapshot_pending_rows = store->pending_rows();
  if (figures.last_stored_at.load() > time) {
    figures.snapshots_behind.begin(time);
  } else {
    figures.snapshots_behind.end();
  }
}

// In parts, so that checkpoints can run in between.
void SnapshotterState::prune() {
  if (prune_some()) return self->send(self, prune_atom::value);
  self->delayed_send(self, tuning.prune_interval, prune_atom::value);
}

bool SnapshotterState::prune_some() {
  try {
    const ledger::Time time = aging_time();
    const bool has_more =
        store->prune({time - tuning.keep_entries, time - ledger::replay_keys_remembered_for});
    if (environment->store_is_shared) environment->figures.installs = store->installs();
    return has_more;
  } catch (const persistence::StoreError& error) {
    if (error.kind() != persistence::StoreErrorKind::broken) {
      environment->report(
          {"pruning_failed", std::string{"pruning failed and will be retried: "} + error.what()});
    } else if (environment->store_health.failed_for_good(error.what())) {
      environment->report({"write_failed", std::string{"a write failed: "} + error.what()});
    }
    return false;
  }
}

// A node whose clock is ahead must not forget other nodes' entries. Therefore the clock of a shared
// store's server is an upper bound.
ledger::Time SnapshotterState::aging_time() {
  ledger::Time now = environment->now();
  if (environment->store_is_shared) now = std::min(now, store->newest_time().value_or(now));
  return environment->aging.time(now, environment->steady_now());
}

caf::ok_atom SnapshotterState::close() {
  checkpoint();
  self->quit();
  return caf::ok_atom::value;
}

snapshotter_actor::behavior_type snapshotter(
    snapshotter_actor::stateful_pointer<SnapshotterState> self, persistence::Store* store,
    Environment* environment, Tuning tuning) {
  SnapshotterState& state = self->state;
  state.store = store;
  state.environment = environment;
  state.tuning = tuning;
  self->delayed_send(self, tuning.prune_interval, prune_atom::value);
  return behavior_of(
      self, SnapshotterState::name,
      [self](stored_atom, std::uint64_t entries) { self->state.stored(entries); },
      [self](tick_atom, std::uint64_t before) { self->state.tick(before); },
      [self](prune_atom) { self->state.prune(); },
      [self](close_atom) { return self->state.close(); });
}

}  // namespace credits::actors
