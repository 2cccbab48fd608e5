// The snapshotter actor: brings the store's snapshots up to date, some time after each write. The
// delay lets it write a hot row once for many commits.
#pragma once

#include <chrono>
#include <string>

#include "actors/environment.hpp"
#include "actors/interfaces.hpp"

namespace credits::actors {

struct SnapshotterState {
  explicit SnapshotterState(snapshotter_actor::stateful_pointer<SnapshotterState> actor)
      : self{actor} {}

  void stored(std::uint64_t entries);
  void tick(std::uint64_t checkpoints_before);
  void checkpoint();
  void prune();
  caf::ok_atom close();

  static inline const char* name = "snapshotter";

  snapshotter_actor::stateful_pointer<SnapshotterState> self;
  persistence::Store* store = nullptr;
  Environment* environment = nullptr;
  Tuning tuning;

 private:
  void schedule(std::chrono::milliseconds delay);
  bool prune_some();
  ledger::Time aging_time();
  void checkpoint_worked();
  void checkpoint_failed(const std::string& reason);
  void caught_up_to(SteadyTime time);

  bool is_scheduled_ = false;
  std::uint64_t checkpoints_ = 0;  // attempts so far
  std::uint64_t entries_ = 0;      // since the last attempt
};

snapshotter_actor::behavior_type snapshotter(
    snapshotter_actor::stateful_pointer<SnapshotterState> self, persistence::Store* store,
    Environment* environment, Tuning tuning);

}  // namespace credits::actors
