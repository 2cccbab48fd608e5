// The state of one install's actor. The router, the install and the persister each write their own
// fields; any thread may read the atomic ones, without a message to the actor.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "actors/ledger/time.hpp"
#include "persistence/stamp.hpp"

namespace credits::actors {

struct InstallStats {
  explicit InstallStats(ledger::Time now) : spawned_at{now}, last_message_at{now} {}

  const ledger::Time spawned_at;
  std::atomic<std::uint64_t> received{0};  // requests; written by the router
  std::atomic<std::uint64_t> handled{0};  // requests taken from the mailbox; written by the install
  std::atomic<std::uint64_t> version{0};  // including mutations on their way to the disk
  std::atomic<std::uint64_t> durable_version{0};  // that of durable_stamp
  std::atomic<ledger::Time> last_message_at;      // when it last judged a request
  std::atomic<bool> is_among_hottest{false};      // written by Hottest
  // The newest durable stamp. Belongs to the persister while a mutation of the install is on its
  // way, otherwise to the install; no other thread reads it.
  persistence::Stamp durable_stamp{};
  std::uint64_t batch = 0;  // the persister's: the last batch with a mutation of this install,
  std::size_t place_in_batch = 0;  // and the install's place among that batch's writers

  void set_durable(const persistence::Stamp& stamp) {
    durable_stamp = stamp;
    durable_version = stamp.version;  // last: it hands the stamp back to the install
  }

  // Requests in the mailbox.
  std::uint64_t waiting() const {
    const std::uint64_t taken = handled.load(std::memory_order_relaxed);
    return std::max(received.load(std::memory_order_relaxed), taken) - taken;
  }

  std::uint64_t pending_writes() const {
    const std::uint64_t durable = durable_version;
    return std::max(version.load(), durable) - durable;
  }
};

static_assert(std::atomic<ledger::Time>::is_always_lock_free);

// Increments a counter that only one thread writes: cheaper than an atomic addition.
inline std::uint64_t add_one(std::atomic<std::uint64_t>& counter) {
  const std::uint64_t value = counter.load(std::memory_order_relaxed) + 1;
  counter.store(value, std::memory_order_relaxed);
  return value;
}

}  // namespace credits::actors
