// The live figures of the actors: each is kept by whoever it is about, as it happens, and read
// without a message to an actor or a look into the store.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "actors/figures/entries.hpp"
#include "actors/figures/hottest.hpp"
#include "actors/figures/recent.hpp"

namespace credits::actors {

// Since when something has been so; the thread that knows sets it.
class Since {
 public:
  void begin(SteadyTime at) { at_.store(at.time_since_epoch().count(), std::memory_order_relaxed); }
  void end() { at_.store(0, std::memory_order_relaxed); }
  bool has_begun() const { return at_.load(std::memory_order_relaxed) != 0; }

  // For how long; zero if it is not so.
  std::chrono::milliseconds age(SteadyTime now) const {
    const auto at = at_.load(std::memory_order_relaxed);
    if (at == 0) return {};
    const SteadyTime begun{SteadyTime::duration{at}};
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::max(now, begun) - begun);
  }

 private:
  std::atomic<SteadyTime::rep> at_{0};
};

// The newest time that has been seen. Any thread.
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

struct Figures {
  // Routers.
  std::atomic<std::uint64_t> spawned{0};
  std::atomic<std::uint64_t> passivated{0};
  Recent<Maximum> mailbox_depth{};  // requests that wait for one install
  Hottest hottest{};

  // Installs add, the persister subtracts: mutations that are not durable yet.
  std::atomic<std::int64_t> pending_mutations{0};

  // Installs: the reservations of those that are live, and what they hold. One whose time is over
  // counts until the next mutation or settle finds it.
  std::atomic<std::int64_t> reservations{0};
  std::atomic<std::int64_t> credits_held{0};

  // Installs: rows that the store has in an older version than before, or with another history.
  std::atomic<std::uint64_t> went_back{0};

  // The newest entry at the start, or over a shared store its server's clock; and the entries that
  // the persister has written since. A clock that is behind it was set back, or is wrong.
  Newest newest_time{};

  // The persister.
  Measured batch_rows{};
  Measured sync_us{};  // a durable write, from its first statement to the end of its sync
  Since oldest_pending{};
  std::atomic<std::uint64_t> conflicts{0};      // installs that someone else had written
  std::atomic<std::uint64_t> busy_installs{0};  // not written, as someone else held them
  // Times that what is stored of an install was damaged where it was read or written; the readers
  // add to it too.
  std::atomic<std::uint64_t> damaged_installs{0};
  std::atomic<std::uint64_t> write_failures{0};
  EntryFigures entries{};
  std::atomic<std::uint64_t> installs{0};  // the snapshotter sets it too, where others create some
  std::atomic<std::uint64_t> snapshot_pending_rows{0};  // and names; the snapshotter sets it too
  std::atomic<SteadyTime> last_stored_at{SteadyTime{}};

  // The snapshotter.
  Since snapshots_behind{};  // the journal
  std::atomic<std::uint64_t> checkpoint_failures{0};

  // The log.
  std::atomic<std::uint64_t> log_lines_dropped{0};  // as nobody took them in time

  std::uint64_t live_actors() const {
    const std::uint64_t ended = passivated;  // first, so that there are no more than were spawned
    return spawned - ended;
  }

  std::uint64_t deepest_mailbox(SteadyTime now) const {
    std::uint64_t deepest = 0;
    mailbox_depth.visit(now, [&](const Maximum& of) { deepest = std::max(deepest, of.get()); });
    return deepest;
  }
};

}  // namespace credits::actors
