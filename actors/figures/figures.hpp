// The live figures of the actors. Each component keeps its own figures up to date, and reading them
// takes no message to an actor and no access to the store.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "actors/figures/entries.hpp"
#include "actors/figures/hottest.hpp"
#include "actors/figures/recent.hpp"

namespace credits::actors {

// Since when a state has lasted. One thread sets it; any thread may read it.
class Since {
 public:
  void begin(SteadyTime at) { at_.store(at.time_since_epoch().count(), std::memory_order_relaxed); }
  void end() { at_.store(0, std::memory_order_relaxed); }
  bool has_begun() const { return at_.load(std::memory_order_relaxed) != 0; }

  // How long the state has lasted; zero if it has not begun.
  std::chrono::milliseconds age(SteadyTime now) const {
    const auto at = at_.load(std::memory_order_relaxed);
    if (at == 0) return {};
    const SteadyTime begun{SteadyTime::duration{at}};
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::max(now, begun) - begun);
  }

 private:
  std::atomic<SteadyTime::rep> at_{0};
};

// The newest time seen so far. Any thread.
class Newest {
 public:
  void raise(ledger::Time at) {
    ledger::Time known = at_.load(std::memory_order_relaxed);
    while (at > known && !at_.compare_exchange_weak(known, at, std::memory_order_relaxed)) continue;
  }

  std::chrono::milliseconds ahead_of(ledger::Time now) const {
    return std::max(at_.load(std::memory_order_relaxed), now) - now;
  }

 private:
  std::atomic<ledger::Time> at_{ledger::Time{}};
};

static_assert(std::atomic<SteadyTime>::is_always_lock_free);

struct Figures {
  // Routers.
  std::atomic<std::uint64_t> spawned{0};
  std::atomic<std::uint64_t> passivated{0};
  Recent<Maximum> mailbox_depth{};  // requests waiting for one install
  Hottest hottest{};

  // Mutations that are not durable yet: installs add, the persister subtracts.
  std::atomic<std::int64_t> pending_mutations{0};

  // Installs: the reservations of live installs, and the credits they hold. An expired reservation
  // counts until the next mutation or settle ends it.
  std::atomic<std::int64_t> reservations{0};
  std::atomic<std::int64_t> credits_held{0};

  // Installs: rows whose stored version is older than before, or has another history.
  std::atomic<std::uint64_t> went_back{0};

  // The time of the newest entry at the start, or over a shared store the server's clock, raised by
  // each entry that the persister writes. A clock behind it was set back, or is wrong.
  Newest newest_time{};

  // The persister.
  Measured batch_rows{};
  Measured sync_us{};  // of a durable write, from its first statement to the end of its sync
  Since oldest_pending{};
  std::atomic<std::uint64_t> conflicts{0};      // installs that another writer had written
  std::atomic<std::uint64_t> busy_installs{0};  // not written, as another transaction held them
  // How often a read or a write met an install with damaged data; the loader and the reporter add
  // to it too.
  std::atomic<std::uint64_t> damaged_installs{0};
  std::atomic<std::uint64_t> write_failures{0};
  EntryFigures entries{};
  std::atomic<std::uint64_t> installs{0};  // over a shared store the snapshotter sets it too
  // Counts replay keys too; the snapshotter sets it too.
  std::atomic<std::uint64_t> snapshot_pending_rows{0};
  std::atomic<SteadyTime> last_stored_at{SteadyTime{}};

  // The snapshotter.
  Since snapshots_behind{};  // behind the journal
  std::atomic<std::uint64_t> checkpoint_failures{0};

  // The log.
  std::atomic<std::uint64_t> log_lines_dropped{0};  // because they were not taken in time

  std::uint64_t live_actors() const {
    const std::uint64_t ended = passivated;  // read first, so that it is at most `spawned`
    return spawned - ended;
  }

  std::uint64_t deepest_mailbox(SteadyTime now) const {
    std::uint64_t deepest = 0;
    mailbox_depth.visit(now, [&](const Maximum& of) { deepest = std::max(deepest, of.get()); });
    return deepest;
  }
};

}  // namespace credits::actors
