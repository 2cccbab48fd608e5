// How one install's actor is: written by those who send to it, by itself and by the persister, each
// its own field; read by whoever wants to know, without a message to the actor.
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
  std::atomic<std::uint64_t> received{0};  // requests; by the router
  std::atomic<std::uint64_t> handled{0};   // requests, taken from its mailbox; by the install
  std::atomic<std::uint64_t> version{0};   // with what is on its way to the disk
  std::atomic<std::uint64_t> durable_version{0};  // of durable_stamp
  std::atomic<ledger::Time> last_message_at;      // when the last request was judged
  std::atomic<bool> is_among_hottest{false};      // by Hottest
  // The newest that is durable. The persister's while a mutation of the install is on its way, else
  // the install's own; nobody else reads it.
  persistence::Stamp durable_stamp{};
  std::uint64_t batch = 0;         // the persister's own: the last batch with a mutation of it,
  std::size_t place_in_batch = 0;  // and its place among that batch's writers

  void set_durable(const persistence::Stamp& stamp) {
    durable_stamp = stamp;
    durable_version = stamp.version;  // last: it shows the install that the stamp is its own again
  }

  // In its mailbox.
  std::uint64_t waiting() const {
    const std::uint64_t taken = handled.load(std::memory_order_relaxed);
    return std::max(received.load(std::memory_order_relaxed), taken) - taken;
  }

  std::uint64_t pending_writes() const {
    const std::uint64_t durable = durable_version;
    return std::max(version.load(), durable) - durable;
  }
};

// Adds one to what one thread alone writes: cheaper than an atomic addition.
inline std::uint64_t add_one(std::atomic<std::uint64_t>& counter) {
  const std::uint64_t value = counter.load(std::memory_order_relaxed) + 1;
  counter.store(value, std::memory_order_relaxed);
  return value;
}

}  // namespace credits::actors
