// Everything the actors share with the rest of the process: the clock, the quota in force, the
// server's settings, the store's health and the live figures. Outlives the actor system.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "actors/aging_clock.hpp"
#include "actors/figures/figures.hpp"
#include "actors/ledger/entry.hpp"
#include "actors/ledger/quota.hpp"
#include "actors/operation.hpp"

namespace credits::actors {

// The quota in force. Any thread may read or replace it; a reader keeps the quota that it has read.
class QuotaInForce {
 public:
  explicit QuotaInForce(ledger::Quota quota)
      : quota_{std::make_shared<const ledger::Quota>(std::move(quota))} {}

  std::shared_ptr<const ledger::Quota> get() const { return quota_.load(); }

  void set(ledger::Quota quota) {
    quota_.store(std::make_shared<const ledger::Quota>(std::move(quota)));
  }

 private:
  std::atomic<std::shared_ptr<const ledger::Quota>> quota_;
};

// Why the store takes no writes: a reason for each part that has failed. A reason stands until the
// same part works again: writes may work while checkpoints fail, and vice versa. Any thread.
class StoreHealth {
 public:
  enum class Part : std::uint8_t { reach, write, checkpoint };
  static constexpr std::size_t parts = static_cast<std::size_t>(Part::checkpoint) + 1;

  // Both return whether this is news to the operator.
  bool failed(Part part, const std::string& reason) {
    const std::lock_guard lock{mutex_};
    std::string& known = reasons_[static_cast<std::size_t>(part)];
    const bool is_news = known != reason;
    known = reason;
    has_trouble_ = true;
    return is_news;
  }

  bool worked(Part part) {
    if (!has_trouble_) return false;
    const std::lock_guard lock{mutex_};
    const bool is_news = !std::exchange(reasons_[static_cast<std::size_t>(part)], {}).empty();
    has_trouble_ = !for_good_.empty() || std::any_of(reasons_.begin(), reasons_.end(),
                                                     [](const auto& r) { return !r.empty(); });
    return is_news;
  }

  // Only a restart clears this.
  bool failed_for_good(const std::string& reason) {
    const std::lock_guard lock{mutex_};
    has_trouble_ = true;
    if (!for_good_.empty()) return false;
    for_good_ = reason;
    return true;
  }

  bool is_failing(Part part) const {
    if (!has_trouble_) return false;
    const std::lock_guard lock{mutex_};
    return !reasons_[static_cast<std::size_t>(part)].empty();
  }

  // Why the store takes no writes; nullopt if it takes them.
  std::optional<std::string> trouble() const {
    if (!has_trouble_) return std::nullopt;
    const std::lock_guard lock{mutex_};
    if (!for_good_.empty()) return for_good_;
    for (const std::string& reason : reasons_) {
      if (!reason.empty()) return reason;
    }
    return std::nullopt;
  }

 private:
  std::atomic<bool> has_trouble_{false};
  mutable std::mutex mutex_;
  std::array<std::string, parts> reasons_;  // guarded by mutex_; empty: no trouble
  std::string for_good_;                    // guarded by mutex_
};

enum class Severity : std::uint8_t { info, warning };

// Something that an operator should know.
struct Event {
  std::string_view name;  // stable, for programs
  std::string text;       // for people
  Severity severity = Severity::warning;
};

struct Environment {
  std::function<ledger::Time()> now;
  std::function<ledger::MutationId()> new_mutation_id;
  std::function<void(const Event&)> report;  // to the operator; any thread
  // Encodes an answer as the client sees it, so that it can be kept; any thread.
  std::function<Recorded(const Answer&)> record;
  bool has_hardware = false;
  QuotaInForce quota;
  bool store_is_shared = false;  // other nodes write to it too
  StoreHealth store_health{};
  Figures figures{};
  std::function<SteadyTime()> steady_now = [] { return std::chrono::steady_clock::now(); };
  AgingClock aging{};
};

// If a write takes longer, the store counts as stalled.
inline constexpr std::chrono::seconds stalled_after{5};

// Why the store takes no writes at `now`; nullopt if it takes them.
inline std::optional<std::string> store_trouble(const Environment& environment, SteadyTime now) {
  if (auto failure = environment.store_health.trouble()) return failure;
  const auto waited = environment.figures.oldest_pending.age(now);
  if (waited < stalled_after) return std::nullopt;
  return "a write has waited for the store for " +
         std::to_string(waited / std::chrono::seconds{1}) + " s";
}

// The machine's clock and randomness.
ledger::Time system_time();
ledger::MutationId random_mutation_id();

// The number of actors, their intervals and their limits.
struct Tuning {
  std::size_t router_shards = 2;
  std::size_t batch_mutations_max = 4'096;             // in one durable write
  std::chrono::milliseconds passivate_after{600'000};  // after this much idle time
  std::size_t live_installs_max = 100'000;             // beyond this, the idlest is retired
  std::chrono::milliseconds passivation_check_interval{500};
  // The snapshots are written this long after the first entry that they lack, or once they lack
  // this many. The longer the interval, the more entries share a row write and the more rows a page
  // write; the shorter it is, the less is replayed at the start after a crash.
  std::chrono::milliseconds checkpoint_interval{4'000};
  std::size_t checkpoint_entries_max = 200'000;
  std::chrono::milliseconds checkpoint_retry_interval{1'000};
  // Replay keys that an install keeps hashes of, 8 bytes each: enough for 24 h of most installs. An
  // install with more asks the store whether a key is new.
  std::size_t replay_keys_known_max = 1'024;
  std::chrono::milliseconds prune_interval{60'000};
  std::chrono::milliseconds probe_interval{1'000};  // how often the store is checked
  std::chrono::milliseconds keep_entries = std::chrono::hours{24 * 400};
  bool own_threads = true;  // for actors that block; tests run them on the test's thread
};

}  // namespace credits::actors
