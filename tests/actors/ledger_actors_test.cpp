// The messages between the actors: when each request is answered, the effects of a failed write,
// and that nothing is lost when actors come and go.
#include <set>
#include <string>
#include <vector>

#include "tests/actors/observed_store.hpp"
#include "tests/actors/world.hpp"
#include "tests/catch.hpp"
#include "tests/told.hpp"

namespace credits::actors {
namespace {

using namespace credits::tests;
using namespace std::chrono_literals;
using persistence::StoreError;

InstallView view_in(PendingAnswer& answer) { return std::get<InstallView>(answer.get()); }

TEST_CASE("a commit on a new install is answered once the store has it") {
  ObservedStore store;
  World world{store};
  auto answer = world.send(World::commit_of("a", 3));
  while (!is_answered(answer)) {
    REQUIRE(world.run_once());
    if (is_answered(answer)) CHECK(store.row("a"));
  }
  const InstallView view = view_in(answer);
  CHECK(view.row == store.row("a"));
  CHECK(view.row.lifetime_consumed == 3);
  CHECK(view.balance.remaining == 97);
}

TEST_CASE("an install that is only read is not created") {
  ObservedStore store;
  World world{store};
  CHECK(std::holds_alternative<Refused>(world.ask({"a", Get{}})));
  CHECK(store.installs() == 0);
  CHECK(store.appends == 0);
}

TEST_CASE("a burst is loaded once, pipelined, and written together") {
  ObservedStore store;
  World world{store};
  std::vector<PendingAnswer> answers;
  for (int i = 0; i < 100; ++i) {
    answers.push_back(world.send(World::commit_of("a")));
    answers.push_back(world.send(World::commit_of("b")));
  }
  world.run();
  std::vector<std::uint64_t> versions;
  for (std::size_t i = 0; i < answers.size(); i += 2) {
    versions.push_back(view_in(answers[i]).row.version);
  }
  CHECK(std::is_sorted(versions.begin(), versions.end()));
  CHECK(std::set(versions.begin(), versions.end()).size() == 100);
  CHECK(store.row("a")->version == 100);
  CHECK(store.loaded_rows == 2);
  CHECK(store.appends < 20);
}

TEST_CASE("a read waits until what it shows is durable") {
  ObservedStore store;
  World world{store};
  auto commit = world.send(World::commit_of("a"));
  auto read = world.send({"a", Get{}});
  while (!is_answered(read)) {
    REQUIRE(world.run_once());
    if (!store.row("a")) CHECK_FALSE(is_answered(read));
  }
  CHECK(view_in(read).row.version == 1);
}

TEST_CASE("after a failed write, mutations get an error and reads are judged again") {
  ObservedStore store;
  World world{store};
  world.commit("a");
  store.fail_appends(1);
  auto first = world.send(World::commit_of("a", 10));
  auto read = world.send({"a", Get{}});
  auto second = world.send(World::commit_of("a", 20));
  world.run();
  CHECK_THROWS_AS(first.get(), StoreError);
  CHECK_THROWS_AS(second.get(), StoreError);
  CHECK(view_in(read).row.lifetime_consumed == 1);
  CHECK(world.environment.store_health.trouble());

  CHECK(world.commit("a", 5).row.lifetime_consumed == 6);
  CHECK(store.history("a").size() == 2);
  CHECK_FALSE(world.environment.store_health.trouble());
}

TEST_CASE("mutations on their way that build on a failed write are not written either") {
  ObservedStore store;
  World world{store};
  world.commit("a");
  store.fail_appends(1);
  std::vector<PendingAnswer> answers;
  for (int i = 0; i < 5; ++i) {
    answers.push_back(world.send(World::commit_of("a", 10)));
    for (int step = 0; step < i; ++step) world.run_once();
  }
  world.run();
  std::int64_t answered = 0;
  for (auto& answer : answers) {
    try {
      view_in(answer);
      ++answered;
    } catch (const StoreError&) {
    }
  }
  CHECK(answered < 5);
  CHECK(store.row("a")->lifetime_consumed == 1 + 10 * answered);
}

TEST_CASE("a write of unknown outcome gets an error, and counts once if it was stored") {
  ObservedStore store;
  World world{store};
  store.fail_append_after_storing();
  auto answer = world.send(World::commit_of("a", 10));
  world.run();
  CHECK_THROWS_AS(answer.get(), StoreError);
  CHECK(world.commit("a", 1).row.lifetime_consumed == 11);
}

TEST_CASE("after a conflict everything unanswered is judged again on the new row") {
  ObservedStore store;
  World world{store};
  world.commit("a");
  auto elsewhere = store.row("a").value();
  append(store, std::vector{tests::commit(elsewhere, 40)});
  auto commit = world.send(World::commit_of("a", 2));
  auto read = world.send({"a", Get{}});
  world.run();
  CHECK(view_in(commit).row.lifetime_consumed == 43);
  CHECK(view_in(read).row.lifetime_consumed == 43);
  CHECK(store.row("a")->version == 3);
}

TEST_CASE("a row that cannot be loaded fails the waiting requests, and is loaded again later") {
  ObservedStore store;
  World world{store};
  store.fail_loads(1);
  auto read = world.send({"a", Get{}});
  auto commit = world.send(World::commit_of("a"));
  world.run();
  CHECK_THROWS_AS(read.get(), StoreError);
  CHECK_THROWS_AS(commit.get(), StoreError);
  CHECK(world.commit("a").row.version == 1);
}

TEST_CASE("an install that has been idle for long is retired, and comes back unchanged") {
  ObservedStore store;
  World world{store};
  world.commit("a");
  CHECK(world.live_installs() == 1);
  world.pass(9min);
  CHECK(world.live_installs() == 1);
  world.pass(2min);
  CHECK(world.live_installs() == 0);
  CHECK(world.commit("a").row.version == 2);
  CHECK(store.loaded_rows == 2);
}

TEST_CASE("an install that is in use is not retired") {
  ObservedStore store;
  World world{store};
  for (int i = 0; i < 10; ++i) {
    world.commit("a");
    world.pass(6min);
  }
  CHECK(store.loaded_rows == 1);
}

TEST_CASE("beyond the limit the idlest installs are retired, unnoticed by clients") {
  ObservedStore store;
  auto tuning = World::small_tuning();
  tuning.router_shards = 1;
  tuning.live_installs_max = 3;
  World world{store, tuning};
  for (int round = 1; round <= 3; ++round) {
    for (int i = 0; i < 10; ++i) {
      const auto view = world.commit("install-" + std::to_string(i));
      CHECK(view.row.version == static_cast<std::uint64_t>(round));
      CHECK(world.live_installs() <= 3);
    }
  }
}

TEST_CASE("requests that arrive while an install retires are kept for its successor") {
  ObservedStore store;
  auto tuning = World::small_tuning();
  tuning.router_shards = 1;
  tuning.live_installs_max = 1;
  World world{store, tuning};
  std::vector<PendingAnswer> answers;
  for (int i = 0; i < 50; ++i) {
    answers.push_back(world.send(World::commit_of("a")));
    answers.push_back(world.send(World::commit_of("b")));
    for (int step = 0; step < i % 7; ++step) world.run_once();
  }
  world.run();
  for (std::size_t i = 0; i < answers.size(); ++i) {
    CHECK(view_in(answers[i]).row.version == 1 + i / 2);
  }
}

TEST_CASE("closing writes and answers the requests under way") {
  ObservedStore store;
  World world{store};
  std::vector<PendingAnswer> answers;
  for (int i = 0; i < 20; ++i) {
    answers.push_back(world.send(World::commit_of("install-" + std::to_string(i % 4))));
  }
  world.close();
  for (auto& answer : answers) CHECK_NOTHROW(view_in(answer));
  CHECK(store.installs() == 4);
  CHECK(store.checkpoints > 0);
}

TEST_CASE("a request that comes after the close is not left waiting") {
  ObservedStore store;
  World world{store};
  Question late = question_of(World::commit_of("a"));
  const auto router = world.router_of("a");
  world.close();
  caf::anon_send(router, run_atom::value, std::move(late.request));
  CHECK_THROWS_AS(late.answer.get(), std::future_error);
}

TEST_CASE("a clock set back over the end of a month grants no credits again") {
  ObservedStore store;
  World world{store};
  const Operation spend_all{"a", Commit{ledger::Backend::gemini, "pro", 1000}};
  world.now = december;
  world.ask(spend_all);
  world.now = november;
  CHECK(std::get<InstallView>(world.ask({"a", Get{}})).balance.remaining == 0);
  const auto plan = std::get<PlanView>(world.ask({"a", Plan{}}));
  CHECK(plan.plan.denial == ledger::Denial::out_of_credits);
}

TEST_CASE("a new quota applies from the next request on") {
  ObservedStore store;
  World world{store};
  CHECK(world.commit("a").balance.remaining == 99);
  auto smaller = quota;
  smaller["core"].limit = 10;
  world.environment.quota.set(smaller);
  CHECK(std::get<InstallView>(world.ask({"a", Get{}})).balance.remaining == 9);
}

TEST_CASE("snapshots follow writes after a delay, once for many writes") {
  ObservedStore store;
  World world{store};
  world.commit("a");
  world.commit("b");
  CHECK(store.checkpoints == 0);
  world.pass(4s);
  CHECK(store.checkpoints == 1);
  world.pass(1h);
  CHECK(store.checkpoints == 1);
}

TEST_CASE("snapshots follow at once after many entries, and then after a delay again") {
  ObservedStore store;
  Tuning tuning = World::small_tuning();
  tuning.checkpoint_entries_max = 3;
  World world{store, tuning};
  for (int i = 0; i < 3; ++i) world.commit("a");
  CHECK(store.checkpoints == 1);
  world.pass(2s);
  world.commit("a");
  world.pass(3s);
  CHECK(store.checkpoints == 1);
  world.pass(1s);
  CHECK(store.checkpoints == 2);
}

TEST_CASE("a failed checkpoint is reported to the operator and retried") {
  ObservedStore store;
  World world{store};
  store.checkpoints_to_fail = 2;
  world.commit("a");
  for (int i = 0; i < 8; ++i) world.pass(1s);
  CHECK(store.checkpoints == 1);
  REQUIRE(world.warnings.size() == 2);
  check_tells(world.warnings.front(), {"checkpoint failed", "fails on command"});
}

TEST_CASE("the reporter reads the store and wakes no install") {
  ObservedStore store;
  World world{store};
  world.commit("a");
  world.pass(11min);
  CHECK(world.list().size() == 1);
  CHECK(world.live_installs() == 0);
}

}  // namespace
}  // namespace credits::actors
