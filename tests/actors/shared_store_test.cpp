// Two ledgers of actors over one store, like two creditsd over one database: neither overlooks nor
// overwrites the other's writes.
#include <functional>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/actors/observed_store.hpp"
#include "tests/actors/world.hpp"
#include "tests/catch.hpp"
#include "tests/told.hpp"

namespace credits::actors {
namespace {

using namespace credits::tests;
using namespace std::chrono_literals;

struct SharedStore : ObservedStore {
  SharedStore() { shared = true; }
};

// Two nodes, both with a live install "a".
struct Nodes {
  SharedStore store;
  World first{store};
  World second{store};

  Nodes() {
    first.commit("a", 1);
    second.commit("a", 1);
    first.commit("a", 1);
  }
};

ledger::Row shown(World& world, const std::string& id = "a") {
  return std::get<InstallView>(world.ask({id, Get{}})).row;
}

Operation commit_with_key_of(std::int64_t credits) {
  return {"a", Commit{ledger::Backend::gemini, "core", credits}, "k",
          "commit " + std::to_string(credits)};
}

TEST_CASE("one node shows whatever the other has answered") {
  Nodes nodes;
  CHECK(shown(nodes.second).version == 3);
  nodes.second.commit("a", 5);
  CHECK(shown(nodes.first).lifetime_consumed == 8);
  CHECK(nodes.first.environment.figures.conflicts > 0);
}

TEST_CASE("an install missing on one node is found once another node has created it") {
  SharedStore store;
  World first{store};
  World second{store};
  CHECK(std::holds_alternative<Refused>(second.ask({"a", Get{}})));
  first.commit("a");
  CHECK(shown(second).version == 1);
}

TEST_CASE("nodes that commit to one install in turns lose no commit") {
  Nodes nodes;
  for (int i = 0; i < 20; ++i) {
    nodes.first.commit("a");
    nodes.second.commit("a");
  }
  CHECK(shown(nodes.first).version == 43);
  CHECK(shown(nodes.second).lifetime_consumed == 43);
}

TEST_CASE("a key used on one node is replayed by the other") {
  Nodes nodes;
  nodes.first.ask(commit_with_key_of(7));
  const auto replayed = nodes.second.ask(commit_with_key_of(7));
  CHECK(std::get<Recorded>(replayed).replayed);
  CHECK(std::get<Refused>(nodes.second.ask(commit_with_key_of(8))).reason ==
        Refusal::idempotency_key_reused);
  CHECK(shown(nodes.second).lifetime_consumed == 10);
}

TEST_CASE("credits reserved on one node are not available on the other") {
  Nodes nodes;
  nodes.first.ask({"a", Reserve{"core", true, 90}});
  CHECK(std::get<Refused>(nodes.second.ask({"a", Reserve{"core", true, 10}})).reason ==
        Refusal::out_of_credits);
  CHECK(shown(nodes.second).reservations.empty());  // a view has none
}

TEST_CASE("requests judged on an outdated row are judged again in their order, and answered once") {
  Nodes nodes;
  auto read = nodes.second.send({"a", Get{}});
  auto commit = nodes.second.send(World::commit_of("a", 10));
  auto read_after = nodes.second.send({"a", Get{}});
  nodes.second.run();
  CHECK(std::get<InstallView>(read.get()).row.lifetime_consumed == 3);
  CHECK(std::get<InstallView>(commit.get()).row.lifetime_consumed == 13);
  CHECK(std::get<InstallView>(read_after.get()).row.lifetime_consumed == 13);
}

// Acts like a failover to a server that lacks the writes since keep().
struct GoneBack {
  SharedStore store;
  World world{store};

  GoneBack() {
    world.commit("a", 1);
    store.keep();
    world.commit("a", 20);
    world.commit("a", 20);
    store.go_back();
  }

  void check_told(const std::string& what) {
    CHECK(world.environment.figures.went_back == 1);
    REQUIRE(world.warnings.size() == 1);
    check_tells(world.warnings.front(), {"database went back", "install \"a\"", "version 3", what});
  }
};

TEST_CASE("writes lost in a failover are neither shown nor built on, and are reported") {
  GoneBack gone;
  SECTION("by a read") { CHECK(shown(gone.world).lifetime_consumed == 1); }
  SECTION("by a write") { CHECK(gone.world.commit("a", 5).row.lifetime_consumed == 6); }
  SECTION("once") {
    gone.world.commit("a", 5);
    shown(gone.world);
  }
  gone.check_told("now has version 1");
}

TEST_CASE("a version with another node's history is neither shown nor followed") {
  GoneBack gone;
  World other{gone.store};
  other.commit("a", 2);
  other.commit("a", 2);
  SECTION("by a read") { CHECK(shown(gone.world).lifetime_consumed == 5); }
  SECTION("by a write") { CHECK(gone.world.commit("a", 5).row.lifetime_consumed == 10); }
  gone.check_told("another history");
  CHECK(shown(other).version == shown(gone.world).version);
}

TEST_CASE("an install lost in a failover is not found any more, and can be created again") {
  SharedStore store;
  World world{store};
  store.keep();
  world.commit("a", 20);
  store.go_back();
  CHECK(std::holds_alternative<Refused>(world.ask({"a", Get{}})));
  CHECK(world.commit("a", 1).row.lifetime_consumed == 1);
  CHECK(world.environment.figures.went_back == 1);
}

TEST_CASE("a row that cannot be trusted is loaded again once no read waits for its comparison") {
  for (std::size_t choice = 0; choice < 200; ++choice) {
    Nodes nodes;
    World& world = nodes.second;
    auto& new_id = world.environment.new_mutation_id;
    auto read = world.send({"a", Get{}});
    auto broken = world.send(World::commit_of("a", 9));
    auto commit = world.send(World::commit_of("a", 2));
    const auto usual = std::exchange(new_id, [&, calls = 0]() mutable {
      if (++calls == 2) throw std::runtime_error{"throws on command"};
      return ledger::MutationId{2, 1'000 + choice + static_cast<std::size_t>(calls)};
    });
    std::size_t step = choice;
    while (world.run_one_of(step)) step = (step * 7 + choice) % 1'000;
    new_id = usual;
    CHECK(std::get<InstallView>(read.get()).row.lifetime_consumed == 3);
    CHECK_THROWS_AS(broken.get(), persistence::StoreError);
    CHECK(std::get<InstallView>(commit.get()).row.lifetime_consumed == 5);
    CHECK(shown(nodes.first).lifetime_consumed == 5);
  }
}

TEST_CASE("reads that wait at the same time are compared at once") {
  SharedStore store;
  World world{store};
  std::vector<PendingAnswer> answers;
  for (int round = 0; round < 2; ++round) {  // in the second round all are live
    store.comparisons = 0;
    for (int i = 0; i < 50; ++i) answers.push_back(world.send({"i" + std::to_string(i), Create{}}));
    world.run();
  }
  CHECK(store.comparisons > 0);
  CHECK(store.comparisons < 10);
  for (auto& answer : answers) CHECK(std::holds_alternative<InstallView>(answer.get()));
}

TEST_CASE("a read that cannot be compared is judged again, and fails if the store does") {
  Nodes nodes;
  nodes.store.fail_loads(2);  // the comparison, and the load after it
  auto read = nodes.second.send({"a", Get{}});
  nodes.second.run();
  CHECK_THROWS_AS(read.get(), persistence::StoreError);
  CHECK(shown(nodes.second).version == 3);
}

TEST_CASE("a durable commit is answered although another install's read cannot be compared") {
  Nodes nodes;
  nodes.second.commit("b");
  nodes.store.fail_loads(1);  // the comparison
  auto commit = nodes.second.send(World::commit_of("b"));
  auto read = nodes.second.send({"a", Get{}});
  nodes.second.run();
  CHECK(std::get<InstallView>(commit.get()).row.version == 2);
  CHECK(std::get<InstallView>(read.get()).row.version == 3);
}

TEST_CASE("a read does not wait for another install's stalled write") {
  Nodes nodes;
  shown(nodes.second);  // "a" is live, in its newest version
  nodes.second.stall_writes();
  auto commit = nodes.second.send(World::commit_of("b"));
  auto read = nodes.second.send({"a", Get{}});
  while (nodes.second.run_one_of(0)) continue;
  CHECK(is_answered(read));
  CHECK_FALSE(is_answered(commit));
  nodes.second.resume_writes();
  nodes.second.run();
  CHECK(std::get<InstallView>(commit.get()).row.version == 1);
}

TEST_CASE("a read overtaken by the install's own next write shows the row before it") {
  SharedStore store;
  World world{store};
  for (std::size_t choice = 0; choice < 50; ++choice) {
    const auto version = world.commit("a").row.version;
    auto read = world.send({"a", Get{}});
    auto commit = world.send(World::commit_of("a"));
    while (world.run_one_of(choice)) continue;
    CHECK(std::get<InstallView>(read.get()).row.version == version);
    CHECK(std::get<InstallView>(commit.get()).row.version == version + 1);
  }
  CHECK(world.environment.figures.conflicts == 0);
}

// Calls `meanwhile` once between a write's commit and its return.
class SlowToReturn : public SharedStore {
 public:
  std::vector<persistence::Appended> append(
      std::span<const persistence::Mutation> mutations) override {
    auto appended = SharedStore::append(mutations);
    if (const auto now = std::exchange(meanwhile, nullptr)) now();
    return appended;
  }

  std::function<void()> meanwhile;
};

TEST_CASE("a read that waits for a write already made shows another node's later write") {
  SlowToReturn store;
  World first{store};
  World second{store};
  second.commit("a", 1);
  std::optional<PendingAnswer> read;
  std::optional<PendingAnswer> next;
  const bool writes_on = GENERATE(false, true);
  store.meanwhile = [&] {
    first.commit("a", 10);
    read = second.send({"a", Get{}});
    if (writes_on) next = second.send(World::commit_of("a", 200));
    second.run();  // all but the persister, which is still writing
  };
  CHECK(second.commit("a", 100).row.version == 2);
  second.run();
  CHECK(std::get<InstallView>(read->get()).row.lifetime_consumed == 111);
  if (next) CHECK(std::get<InstallView>(next->get()).row.lifetime_consumed == 311);
}

TEST_CASE("an idle install is not passivated while its read is being compared") {
  Nodes nodes;
  auto read = nodes.second.send({"a", Get{}});
  nodes.second.forget();  // retires it at once
  CHECK(std::get<InstallView>(read.get()).row.version == 3);
  CHECK(nodes.second.live_installs() == 0);
}

TEST_CASE("an unreachable store is noticed without a write, and so is its return") {
  SharedStore store;
  World world{store};
  const auto trouble = [&] {
    return store_trouble(world.environment, std::chrono::steady_clock::now());
  };
  world.pass(1s);
  CHECK_FALSE(trouble());
  store.unreachable = true;
  world.pass(1s);
  CHECK(trouble() == "observed store: cannot be reached");
  store.unreachable = false;
  world.pass(1s);
  CHECK_FALSE(trouble());
}

TEST_CASE("an import finds another node's install, and stores nothing") {
  SharedStore store;
  World first{store};
  World second{store};
  first.commit("a");
  auto imported =
      second.import({ledger::blank_row("a", november), ledger::blank_row("b", november)});
  second.run();
  CHECK_FALSE(imported.get().was_empty);
  CHECK_FALSE(store.row("b"));
}

TEST_CASE("a store that is not shared is not asked whether a row is the newest") {
  ObservedStore store;
  World world{store};
  world.commit("a");
  shown(world);
  CHECK(store.comparisons == 0);
}

}  // namespace
}  // namespace credits::actors
