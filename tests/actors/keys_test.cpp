// Idempotency keys, ended reservations and batches through the actors: whatever happens to the
// store, the actors and the answers, the operation of a key is done once.
#include <algorithm>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tests/actors/observed_store.hpp"
#include "tests/actors/world.hpp"
#include "tests/catch.hpp"
#include "tests/store_errors.hpp"

namespace credits::actors {
namespace {

using namespace credits::tests;
using namespace std::chrono_literals;

Operation commit_with(const std::string& key, std::int64_t credits = 1) {
  return {"a", Commit{ledger::Backend::gemini, "core", credits}, key,
          "commit " + std::to_string(credits)};
}

Operation settle_of(const std::string& reservation_id) {
  return {"a", Settle{reservation_id, {}, {}}, {}, "settle"};
}

std::int64_t consumed(World& world) {
  return std::get<InstallView>(world.ask({"a", Get{}})).row.lifetime_consumed;
}

std::string reserve_in(World& world, std::chrono::seconds ttl = 600s) {
  return std::get<ReservationView>(world.ask({"a", Reserve{"core", {}, 5, ttl}})).reservation.id;
}

actors::Tuning tuning_with(std::size_t replay_keys_known_max) {
  actors::Tuning tuning = World::small_tuning();
  tuning.replay_keys_known_max = replay_keys_known_max;
  return tuning;
}

TEST_CASE("two simultaneous requests with one key debit once, and get the same answer") {
  ObservedStore store;
  World world{store, tuning_with(GENERATE(0U, 1'024U))};
  auto first = world.send(commit_with("k", 7));
  auto second = world.send(commit_with("k", 7));
  auto other = world.send(commit_with("k", 8));
  world.run();
  const auto answered = std::get<Recorded>(first.get());
  const auto replayed = std::get<Recorded>(second.get());
  CHECK_FALSE(answered.replayed);
  CHECK(replayed.replayed);
  CHECK(replayed.body == answered.body);
  CHECK(std::get<Refused>(other.get()).reason == Refusal::idempotency_key_reused);
  CHECK(consumed(world) == 7);
}

TEST_CASE("a key survives passivation and restart, however few replay keys an actor knows") {
  ObservedStore store;
  const std::size_t replay_keys_known_max = GENERATE(0U, 3U, 1'024U);
  auto world = std::make_unique<World>(store, tuning_with(replay_keys_known_max));
  std::vector<std::string> bodies;
  for (int i = 0; i < 10; ++i) {
    bodies.push_back(std::get<Recorded>(world->ask(commit_with("k" + std::to_string(i)))).body);
  }
  SECTION("while it is live") {}
  SECTION("passivated") {
    world->pass(11min);
    REQUIRE(world->live_installs() == 0);
  }
  SECTION("restarted") {
    world.reset();
    world = std::make_unique<World>(store, tuning_with(replay_keys_known_max));
  }
  for (int i = 0; i < 10; ++i) {
    const auto again = std::get<Recorded>(world->ask(commit_with("k" + std::to_string(i))));
    CHECK(again.replayed);
    CHECK(again.body == bodies[static_cast<std::size_t>(i)]);
  }
  CHECK(consumed(*world) == 10);
}

TEST_CASE("an install that knows its replay keys asks the store about old ones only") {
  ObservedStore store;
  World world{store};
  for (int i = 0; i < 10; ++i) world.ask(commit_with("k" + std::to_string(i)));
  CHECK(store.recalls == 0);
  world.pass(11min);
  world.ask(commit_with("new"));
  CHECK(store.recalls == 0);
  world.ask(commit_with("k1"));
  CHECK(store.recalls == 1);
}

TEST_CASE("damage found while looking a replay key up is counted, and its install named") {
  class DamagedReplayKeys : public ObservedStore {
    std::vector<std::optional<ledger::Entry>> recall(const std::string&,
                                                     std::span<const ledger::ReplayKey>) override {
      throw persistence::StoreError{persistence::StoreErrorKind::damaged, "damaged on command"};
    }
  };
  DamagedReplayKeys store;
  World world{store};
  world.ask(commit_with("k"));
  world.pass(11min);
  CHECK(kind_thrown_by([&] { world.ask(commit_with("k")); }) ==
        persistence::StoreErrorKind::damaged);
  CHECK(world.environment.figures.damaged_installs == 1);
  REQUIRE(world.warnings.size() == 1);
  CHECK(world.warnings.front().find("a replay key of install \"a\"") != std::string::npos);
}

TEST_CASE("operations that wait for their replay keys keep their order, and later ones wait") {
  ObservedStore store;
  World world{store, tuning_with(0)};
  world.ask(commit_with("k", 1));
  world.pass(11min);
  std::vector<PendingAnswer> answers;
  answers.push_back(world.send(World::commit_of("a", 2)));
  answers.push_back(world.send(commit_with("k", 1)));
  answers.push_back(world.send(commit_with("l", 3)));
  answers.push_back(world.send(World::commit_of("a", 4)));
  answers.push_back(world.send(commit_with("l", 3)));
  world.run();
  CHECK(std::get<InstallView>(answers[0].get()).row.lifetime_consumed == 3);
  CHECK(std::get<Recorded>(answers[1].get()).replayed);
  CHECK_FALSE(std::get<Recorded>(answers[2].get()).replayed);
  CHECK(std::get<InstallView>(answers[3].get()).row.lifetime_consumed == 10);
  CHECK(std::get<Recorded>(answers[4].get()).replayed);
}

TEST_CASE("a retry after a write of unknown outcome debits once, whether it was stored or not") {
  ObservedStore store;
  World world{store, tuning_with(GENERATE(0U, 1'024U))};
  world.commit("a", 1);
  const bool stored = GENERATE(false, true);
  stored ? store.fail_append_after_storing() : store.fail_appends(1);
  CHECK_THROWS_AS(world.ask(commit_with("k", 5)), persistence::StoreError);
  CHECK(std::get<Recorded>(world.ask(commit_with("k", 5))).replayed == stored);
  CHECK(std::get<Recorded>(world.ask(commit_with("k", 5))).replayed);
  CHECK(consumed(world) == 6);
}

TEST_CASE("a replay judged on a lost write is judged again") {
  ObservedStore store;
  World world{store};
  world.commit("a", 1);
  store.fail_appends(1);
  auto lost = world.send(commit_with("k", 5));
  auto retry = world.send(commit_with("k", 5));
  world.run();
  CHECK_THROWS_AS(lost.get(), persistence::StoreError);
  CHECK_FALSE(std::get<Recorded>(retry.get()).replayed);
  CHECK(consumed(world) == 6);
}

TEST_CASE("when replay keys cannot be read, operations that need them fail and do nothing") {
  ObservedStore store;
  World world{store};
  world.ask(commit_with("k", 5));
  world.pass(11min);
  world.ask({"a", Get{}});
  store.fail_loads(1);
  CHECK_THROWS_AS(world.ask(commit_with("k", 5)), persistence::StoreError);
  CHECK(std::get<Recorded>(world.ask(commit_with("k", 5))).replayed);
  CHECK(consumed(world) == 5);
}

TEST_CASE("an install retired while it waits for the store answers first") {
  ObservedStore store;
  actors::Tuning tuning = tuning_with(0);
  tuning.router_shards = 1;
  tuning.live_installs_max = 1;
  World world{store, tuning};
  auto waiting = world.send(commit_with("k"));
  auto other = world.send(World::commit_of("b"));
  world.run();
  CHECK_FALSE(std::get<Recorded>(waiting.get()).replayed);
  CHECK(std::get<InstallView>(other.get()).row.version == 1);
}

TEST_CASE("a settle that finds its reservation due is refused once the expiry is durable") {
  ObservedStore store;
  World world{store};
  const std::string id = reserve_in(world, 1s);
  world.now += 1s;
  auto settle = world.send(settle_of(id));
  while (settle.wait_for(0ms) != std::future_status::ready) {
    CHECK(store.history("a").size() == 1);
    REQUIRE(world.run_once());
  }
  CHECK(std::get<Refused>(settle.get()).reason == Refusal::reservation_expired);
  CHECK(store.history("a").back().kind == ledger::EntryKind::expire);
  world.now -= 1h;
  CHECK(std::get<Refused>(world.ask(settle_of(id))).reason == Refusal::reservation_expired);
}

TEST_CASE("the end of a reservation is remembered over passivation") {
  ObservedStore store;
  World world{store, tuning_with(GENERATE(0U, 1'024U))};
  const std::string settled = reserve_in(world);
  const std::string released = reserve_in(world);
  const std::string live = reserve_in(world);
  const auto first = std::get<Recorded>(world.ask(settle_of(settled)));
  world.ask({"a", Release{released}});
  world.pass(11min);
  REQUIRE(world.live_installs() == 0);
  CHECK(std::get<Recorded>(world.ask(settle_of(settled))).body == first.body);
  CHECK(std::get<Refused>(world.ask(settle_of(released))).reason == Refusal::reservation_released);
  CHECK(std::get<InstallView>(world.ask({"a", Release{live}})).balance.held == 0);
  CHECK(std::get<Refused>(world.ask(settle_of("none"))).reason == Refusal::unknown_reservation);
}

TEST_CASE("an operation of which one of two replay keys is known asks for both, and is answered") {
  ObservedStore store;
  World world{store, tuning_with(GENERATE(0U, 1'024U))};
  const std::string id = reserve_in(world);
  world.ask(commit_with(id));
  world.pass(11min);
  world.ask({"a", Get{}});
  auto settle = world.send(settle_of(id));
  auto commit = world.send(commit_with(id));
  for (int messages = 0; messages < 1'000; ++messages) {
    if (!world.run_once()) break;
  }
  REQUIRE(commit.wait_for(0ms) == std::future_status::ready);
  CHECK(std::get<Refused>(settle.get()).reason == Refusal::reservation_settled);
  CHECK(std::get<Recorded>(commit.get()).replayed);
}

TEST_CASE("an install with many holds has few copies of its row on their way, and loses nothing") {
  ObservedStore store;
  World world{store};
  for (std::size_t i = 0; i < 90; ++i) {
    world.ask({"a", Reserve{"max", {}, 1, 24h}});
  }
  std::vector<PendingAnswer> answers;
  for (int i = 0; i < 500; ++i) answers.push_back(world.send(World::commit_of("a")));
  const std::size_t appends_before = store.appends;
  world.run();
  for (auto& answer : answers) CHECK(std::get<InstallView>(answer.get()).row.version > 90);
  CHECK(consumed(world) == 500);
  CHECK(store.appends - appends_before > 1);
}

TEST_CASE("a damaged install fails alone, and the warning names it") {
  ObservedStore store;
  World world{store};
  world.commit("bad");
  world.forget();
  store.damage_install("bad");
  auto good = world.send(World::commit_of("good"));
  auto bad = world.send(World::commit_of("bad"));
  auto other = world.send(World::commit_of("other"));
  world.run();
  CHECK(std::get<InstallView>(good.get()).row.version == 1);
  CHECK(std::get<InstallView>(other.get()).row.version == 1);
  CHECK(kind_thrown_by([&] { bad.get(); }) == persistence::StoreErrorKind::damaged);
  REQUIRE(world.warnings.size() == 1);
  CHECK(world.warnings.front().find("install \"bad\" is damaged") != std::string::npos);
}

TEST_CASE("a live install whose damage is found by a write fails alone") {
  ObservedStore store;
  World world{store};
  world.commit("bad");
  store.damage_install("bad");
  auto good = world.send(World::commit_of("good"));
  auto bad = world.send(World::commit_of("bad"));
  world.run();
  CHECK(std::get<InstallView>(good.get()).row.version == 1);
  CHECK(kind_thrown_by([&] { bad.get(); }) == persistence::StoreErrorKind::damaged);
  CHECK_FALSE(world.environment.store_health.trouble());
  CHECK(world.environment.figures.damaged_installs == 1);
}

TEST_CASE("a store that cannot be read is asked once for all waiting installs, and reported once") {
  ObservedStore store;
  World world{store};
  store.fail_loads(1);
  std::vector<PendingAnswer> answers;
  for (int i = 0; i < 20; ++i) answers.push_back(world.send({"i" + std::to_string(i), Get{}}));
  world.run();
  int failed = 0;
  for (auto& answer : answers) {
    try {
      answer.get();
    } catch (const persistence::StoreError&) {
      ++failed;
    }
  }
  CHECK(failed > 1);
  CHECK(world.warnings.size() == 1);
}

TEST_CASE("a failed write is reported to the operator, once for each reason") {
  ObservedStore store;
  World world{store};
  store.fail_appends(2);
  CHECK_THROWS_AS(world.commit("a"), persistence::StoreError);
  CHECK_THROWS_AS(world.commit("a"), persistence::StoreError);
  REQUIRE(world.warnings.size() == 1);
  CHECK(world.warnings.front().find("append fails") != std::string::npos);
}

TEST_CASE("trouble lasts until the same part works again") {
  StoreHealth health;
  CHECK(health.failed(StoreHealth::Part::write, "no room for a write"));
  CHECK_FALSE(health.failed(StoreHealth::Part::write, "no room for a write"));
  CHECK(health.failed(StoreHealth::Part::checkpoint, "no room for a checkpoint"));
  CHECK_FALSE(health.worked(StoreHealth::Part::reach));
  CHECK(health.trouble() == "no room for a write");
  CHECK(health.worked(StoreHealth::Part::write));
  CHECK(health.trouble() == "no room for a checkpoint");
  CHECK(health.worked(StoreHealth::Part::checkpoint));
  CHECK_FALSE(health.trouble());
}

TEST_CASE("a failed write is trouble until a write of the store's own has worked") {
  ObservedStore store;
  World world{store};
  store.fail_appends(2);
  CHECK_THROWS_AS(world.commit("a"), persistence::StoreError);
  world.pass(1s);
  CHECK(world.environment.store_health.trouble());
  store.heal();
  world.pass(1s);
  CHECK_FALSE(world.environment.store_health.trouble());
}

TEST_CASE("failing checkpoints are trouble by themselves, until one works") {
  ObservedStore store;
  World world{store};
  store.checkpoints_to_fail = 2;
  world.commit("a");
  world.pass(4s);
  world.commit("a");
  CHECK(world.environment.store_health.trouble());
  world.pass(1s);
  CHECK(world.environment.store_health.trouble());
  CHECK(world.environment.figures.checkpoint_failures == 2);
  world.pass(1s);
  CHECK_FALSE(world.environment.store_health.trouble());
}

TEST_CASE("a request that nobody waits for any more is not run") {
  ObservedStore store;
  World world{store};
  Question question = question_of(World::commit_of("a"));
  question.request.deadline = std::chrono::steady_clock::now() - 1ms;
  caf::anon_send(world.router_of("a"), run_atom::value, std::move(question.request));
  world.run();
  CHECK_THROWS_AS(question.answer.get(), persistence::StoreError);
  CHECK_FALSE(store.row("a"));
}

TEST_CASE("an install held by another transaction fails alone, and works once it is free") {
  ObservedStore store;
  World world{store};
  world.commit("held");
  store.hold_install("held");
  auto held = world.send(World::commit_of("held"));
  auto read = world.send({"held", Get{}});
  auto free = world.send(World::commit_of("free"));
  world.run();
  CHECK(std::get<InstallView>(free.get()).row.version == 1);
  CHECK_THROWS_AS(held.get(), persistence::StoreError);
  CHECK(std::get<InstallView>(read.get()).row.version == 1);
  CHECK_FALSE(world.environment.store_health.trouble());
  CHECK(world.environment.figures.busy_installs == 1);
  store.let_go_of_install("held");
  CHECK(world.commit("held").row.version == 2);
}

TEST_CASE("a permanent failure of the store stays, whatever works in the meantime") {
  StoreHealth health;
  health.failed_for_good("broken");
  health.worked(StoreHealth::Part::write);
  CHECK(health.trouble() == "broken");
}

// Sends `operations` as one batch.
std::vector<Answer> ask_batch(World& world, std::vector<Operation> operations) {
  const auto completion = std::make_shared<WaitingCompletion>();
  auto all = completion->answers();
  const auto answers = std::make_shared<Answers>(operations.size(), completion);
  std::map<std::string, std::size_t> last;
  for (std::size_t place = 0; place < operations.size(); ++place) {
    const std::string id = operations[place].install_id;
    const auto previous = last.contains(id) ? std::optional{last[id]} : std::nullopt;
    last[id] = place;
    caf::anon_send(world.router_of(id), run_atom::value,
                   Request{std::move(operations[place]), answers, place, previous});
  }
  world.run();
  return all.get();
}

TEST_CASE("in a batch, operations after a lost write of their install are not run; others are") {
  ObservedStore store;
  World world{store, tuning_with(GENERATE(0U, 1'024U))};
  world.commit("a", 1);
  world.commit("b", 1);
  Operation with_key = commit_with("k", 8);
  store.fail_appends(1);
  auto answers = ask_batch(world, {{"a", Get{}},
                                   World::commit_of("a", 2),
                                   {"a", Get{}},
                                   with_key,
                                   World::commit_of("a", 4),
                                   {"unknown", Get{}}});
  CHECK(std::holds_alternative<InstallView>(answers[0]));
  for (std::size_t place : {1U, 2U, 3U, 4U}) {
    CHECK(std::holds_alternative<Unavailable>(answers[place]));
  }
  CHECK(std::get<Refused>(answers[5]).reason == Refusal::unknown_install);
  CHECK(consumed(world) == 1);
}

}  // namespace
}  // namespace credits::actors
