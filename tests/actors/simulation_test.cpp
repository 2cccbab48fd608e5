// Random lives of a whole ledger: operations in a random order on few installs, with failed and
// ambiguous writes, failed loads, a foreign writer, idle times, and restarts in between. After
// each, a plain model of what was answered is compared with what the store has.
//
// A failing seed is printed and can be run again: CREDITS_SEED=17 actors_test "a ledger*".
#include <cstdlib>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "tests/actors/observed_store.hpp"
#include "tests/actors/world.hpp"
#include "tests/catch.hpp"

namespace credits::actors {
namespace {

using namespace credits::tests;
using namespace std::chrono_literals;

class Simulation {
 public:
  explicit Simulation(std::uint32_t seed) : random_{seed} { start(); }

  void step() {
    switch (pick(0, 24)) {
      case 0:
        return store_.fail_appends(static_cast<std::size_t>(pick(1, 2)));
      case 1:
        return store_.fail_append_after_storing();
      case 2:
        return store_.fail_loads(1);
      case 3:
        return write_elsewhere();
      case 4:
        world_->now += std::chrono::hours{pick(-200, 400)};
        return;
      case 5:
        return world_->pass(std::chrono::minutes{pick(1, 12)});
      case 6:
        return pick(0, 3) == 0 ? restart() : void();
      default:
        return operate();
    }
  }

  // Everything is answered, and what was answered is what the store says.
  void check() {
    world_->run();
    look_at_answers();
    CHECK(asked_.empty());
    for (const auto& id : ids_) check_history(id);
  }

 private:
  struct Asked {
    std::string id;
    std::int64_t credits = 0;  // unlike any other commit's; 0: reads
    PendingAnswer answer;
  };

  int pick(int min, int max) { return std::uniform_int_distribution{min, max}(random_); }

  const std::string& any_id() {
    return ids_[static_cast<std::size_t>(pick(0, static_cast<int>(ids_.size()) - 1))];
  }

  void start() {
    auto tuning = World::small_tuning();
    tuning.router_shards = 1;
    tuning.live_installs_max = 3;
    const ledger::Time now = world_ ? world_->now : november;
    world_.reset();
    world_ = std::make_unique<World>(store_, tuning);
    world_->now = now;
  }

  void restart() {
    store_.fail_appends(0);
    store_.fail_loads(0);
    start();
    look_at_answers();
  }

  void operate() {
    const std::string& id = any_id();
    Operation operation{id, Get{}};
    std::int64_t credits = 0;
    switch (pick(0, 5)) {
      case 0:
        break;
      case 1:
        operation.action = Plan{};
        break;
      case 2:
        operation.action = Create{};
        break;
      default:
        credits = ++last_credits_;
        operation.action =
            Commit{pick(0, 1) == 0 ? ledger::Backend::gemini : ledger::Backend::hardware,
                   pick(0, 1) == 0 ? "core" : "pro", credits};
        break;
    }
    asked_.push_back({id, credits, world_->send(std::move(operation))});
    for (int steps = pick(0, 12); steps > 0 && world_->run_once(); --steps) look_at_answers();
  }

  void write_elsewhere() {
    auto row = store_.row(any_id());
    if (!row) return;
    try {
      store_.append(std::vector{tests::commit(*row, ++last_credits_, "pro", world_->now)});
    } catch (const persistence::StoreError&) {
      // the fault that was meant for the persister; whether it was stored does not matter
    }
  }

  void look_at_answers() {
    std::vector<Asked> unanswered;
    for (Asked& asked : asked_) {
      if (asked.answer.wait_for(0s) == std::future_status::ready) {
        take(asked);
      } else {
        unanswered.push_back(std::move(asked));
      }
    }
    asked_ = std::move(unanswered);
  }

  void take(Asked& asked) {
    try {
      const Answer answer = asked.answer.get();
      if (asked.credits > 0) committed_[asked.credits] = asked.id;
      if (const auto* view = std::get_if<InstallView>(&answer)) check_view(asked, *view);
    } catch (const persistence::StoreError&) {
      // may have been done, or not
    }
  }

  // At this very moment the store must have what the answer shows.
  void check_view(const Asked& asked, const InstallView& view) {
    const auto entries = store_.history(asked.id);
    REQUIRE(entries.size() >= view.row.version);
    ledger::Row durable = ledger::blank_row(asked.id, world_->now);
    for (std::uint64_t i = 0; i < view.row.version; ++i) ledger::apply(durable, entries[i]);
    CHECK(durable.lifetime_consumed == view.row.lifetime_consumed);
    CHECK(durable.tier_snapshot == view.row.tier_snapshot);
    CHECK(durable.month <= view.row.month);
    if (asked.credits > 0) CHECK(entries[view.row.version - 1].credits == asked.credits);
  }

  void check_history(const std::string& id) {
    const auto entries = store_.history(id);
    const auto stored = store_.row(id);
    std::map<std::int64_t, int> times;
    ledger::Row row = ledger::blank_row(id, november);
    for (const auto& entry : entries) {
      ledger::apply(row, entry);
      if (entry.kind == ledger::EntryKind::commit) ++times[entry.credits];
    }
    CHECK(stored.has_value() == !entries.empty());
    if (stored) CHECK(*stored == row);
    for (const auto& [credits, count] : times) CHECK(count == 1);
    for (const auto& [credits, committed_on] : committed_) {
      if (committed_on == id) CHECK(times[credits] == 1);
    }
  }

  std::mt19937 random_;
  ObservedStore store_;
  std::unique_ptr<World> world_;
  const std::vector<std::string> ids_{"a", "b", "c", "d", "e"};
  std::vector<Asked> asked_;
  std::map<std::int64_t, std::string> committed_;  // answered commits, by their credits
  std::int64_t last_credits_ = 0;
};

std::vector<std::uint32_t> seeds() {
  if (const char* seed = std::getenv("CREDITS_SEED")) {
    return {static_cast<std::uint32_t>(std::strtoul(seed, nullptr, 10))};
  }
  std::vector<std::uint32_t> all(1'000);
  std::iota(all.begin(), all.end(), 1U);
  return all;
}

TEST_CASE("a ledger that lives through faults and restarts answers nothing that is not so") {
  for (const std::uint32_t seed : seeds()) {
    INFO("seed " << seed);
    Simulation simulation{seed};
    for (int step = 0; step < 300; ++step) simulation.step();
    simulation.check();
  }
}

}  // namespace
}  // namespace credits::actors
