// The figures that the actors report while they work, and that reading them changes nothing.
#include <chrono>
#include <future>
#include <string>
#include <vector>

#include "tests/actors/observed_store.hpp"
#include "tests/actors/world.hpp"
#include "tests/catch.hpp"

namespace credits::actors {
namespace {

using namespace credits::tests;
using namespace std::chrono_literals;
using persistence::StoreError;

ledger::Row row_of(const std::string& id, std::int64_t lifetime_consumed) {
  ledger::Row row = ledger::blank_row(id, november);
  row.lifetime_consumed = lifetime_consumed;
  return row;
}

TEST_CASE("the newest time in the ledger shows how far the clock is behind") {
  ObservedStore store;
  World world{store};
  world.commit("a");
  CHECK(world.environment.figures.newest_time.ahead_of(world.now) == 0ms);
  world.now -= 5s;
  CHECK(world.environment.figures.newest_time.ahead_of(world.now) == 5s);
  World restarted{store};
  restarted.now -= 5s;
  restarted.ask({"a", Get{}});
  CHECK(restarted.environment.figures.newest_time.ahead_of(restarted.now) == 5s);
}

TEST_CASE("a report on an install wakes no actor") {
  ObservedStore store;
  World world{store};
  world.commit("a");
  world.pass(11min);
  REQUIRE(world.live_installs() == 0);

  const InstallReport cold = world.report("a");
  CHECK(cold.stats == nullptr);
  CHECK(cold.row->version == 1);
  const InstallReport unknown = world.report("b");
  CHECK(unknown.stats == nullptr);
  CHECK_FALSE(unknown.row);
  CHECK(world.live_installs() == 0);
  CHECK(store.installs() == 1);
}

TEST_CASE("a live install's stats follow its work") {
  ObservedStore store;
  World world{store};
  world.commit("a");
  world.now += 5s;
  world.commit("a");
  world.ask({"a", Get{}});
  const InstallReport report = world.report("a");
  REQUIRE(report.stats);
  CHECK(report.stats->handled == 3);
  CHECK(report.stats->waiting() == 0);
  CHECK(report.stats->pending_writes() == 0);
  CHECK(report.stats->spawned_at == november);
  CHECK(report.stats->last_message_at.load() == november + 5s);
  CHECK(report.row->version == 2);
}

TEST_CASE("requests that wait for an install or the disk show while they wait") {
  ObservedStore store;
  World world{store};
  auto first = world.send(World::commit_of("a"));
  auto second = world.send(World::commit_of("a"));
  const Figures& figures = world.environment.figures;
  std::uint64_t most_waiting = 0;
  std::int64_t most_pending = 0;
  while (world.run_once()) {
    most_waiting = std::max(most_waiting, figures.deepest_mailbox(SteadyTime{}));
    most_pending = std::max(most_pending, figures.pending_mutations.load());
  }
  CHECK(most_waiting == 2);
  CHECK(most_pending == 2);
  CHECK(figures.pending_mutations == 0);
  CHECK(figures.oldest_pending.age(std::chrono::steady_clock::now()) == 0ms);
  CHECK(figures.batch_rows.ever().sum == 2);
  CHECK(figures.installs == 1);
  first.get();
  second.get();
}

TEST_CASE("a failed write leaves nothing pending, and is counted") {
  ObservedStore store;
  World world{store};
  world.commit("a");
  store.fail_appends(1);
  auto lost = world.send(World::commit_of("a"));
  auto also_lost = world.send(World::commit_of("a"));
  world.run();
  CHECK_THROWS_AS(lost.get(), StoreError);
  CHECK_THROWS_AS(also_lost.get(), StoreError);
  const Figures& figures = world.environment.figures;
  CHECK(figures.write_failures == 1);
  CHECK(figures.pending_mutations == 0);
  CHECK(world.report("a").stats->pending_writes() == 0);
  CHECK(world.report("a").stats->waiting() == 0);
}

TEST_CASE("spawned and passivated are counted, and the hottest are live") {
  ObservedStore store;
  World world{store};
  world.commit("a");
  world.commit("b");
  world.commit("b");
  const Figures& figures = world.environment.figures;
  CHECK(figures.spawned == 2);
  CHECK(figures.hottest.list().front().install_id == "b");
  CHECK(figures.hottest.list().front().messages_handled == 2);
  world.pass(11min);
  CHECK(figures.passivated == 2);
  CHECK(figures.hottest.list().empty());
}

TEST_CASE("a checkpoint that fails leaves the snapshots behind until one works") {
  ObservedStore store;
  World world{store};
  store.checkpoints_to_fail = 1;
  world.commit("a");
  const auto lag = [&] {
    return world.environment.figures.snapshots_behind.age(std::chrono::steady_clock::now() + 1h);
  };
  CHECK(lag() > 0ms);
  world.pass(5s);
  CHECK(lag() > 0ms);
  world.pass(2s);
  CHECK(lag() == 0ms);
}

TEST_CASE("an empty ledger imports another one's rows completely") {
  ObservedStore store;
  World world{store};
  auto imported = world.import({row_of("a", 7), row_of("b", 8)});
  world.run();
  const Imported told = imported.get();
  CHECK(told.was_empty);
  CHECK(told.installs == 2);
  CHECK(world.commit("a").row.lifetime_consumed == 8);
  CHECK(store.history("a").front().kind == ledger::EntryKind::import);
}

TEST_CASE("a ledger with an install imports no rows") {
  ObservedStore store;
  World world{store};
  auto first = world.send(World::commit_of("c"));
  while (world.environment.figures.pending_mutations == 0) REQUIRE(world.run_once());
  auto imported = world.import({row_of("a", 7)});  // queued behind a commit that is not stored yet
  world.run();
  first.get();
  const Imported told = imported.get();
  CHECK_FALSE(told.was_empty);
  CHECK(told.installs == 1);
  CHECK_FALSE(store.row("a"));
}

TEST_CASE("an install looked up before an import is found after it") {
  ObservedStore store;
  World world{store};
  CHECK(std::holds_alternative<Refused>(world.ask({"a", Get{}})));
  auto imported = world.import({row_of("a", 7)});
  world.run();
  imported.get();
  world.forget();
  CHECK(std::get<InstallView>(world.ask({"a", Get{}})).row.lifetime_consumed == 7);
}

TEST_CASE("an import that fails in the store gets an error, and nothing is stored") {
  ObservedStore store;
  World world{store};
  store.fail_appends(1);
  auto imported = world.import({row_of("a", 7)});
  world.run();
  CHECK_THROWS_AS(imported.get(), StoreError);
  CHECK(store.installs() == 0);
  CHECK(world.environment.store_health.trouble());
}

}  // namespace
}  // namespace credits::actors
