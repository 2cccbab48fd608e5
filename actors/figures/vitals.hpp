// How one install's actor is: written by those who send to it, by itself and by the persister, each
// its own field; read by whoever wants to know, without a message to the actor.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "actors/ledger/time.hpp"

namespace credits::actors {

struct Vitals {
  explicit Vitals(ledger::Time now) : spawned_at{now}, last_message_at{now} {}

  const ledger::Time spawned_at;
  std::atomic<std::uint64_t> received{0};  // requests; by the router
  std::atomic<std::uint64_t> handled{0};   // requests, taken from its mailbox; by the install
  std::atomic<std::uint64_t> version{0};   // with what is on its way to the disk
  std::atomic<std::uint64_t> durable_version{0};  // by the persister, and at loading
  std::atomic<ledger::Time> last_message_at;      // when the last request was judged
  std::atomic<std::uint64_t> loads{0};            // of its row; by the install
  std::atomic<bool> is_among_hottest{false};      // by Hottest
  std::uint64_t batch = 0;         // the persister's own: the last batch with a mutation of it,
  std::size_t place_in_batch = 0;  // and its place among that batch's authors

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
