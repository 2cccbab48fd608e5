// The actors on CAF's own threads, as creditsd runs them.
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "actors/system.hpp"
#include "tests/actors/asking.hpp"
#include "tests/actors/observed_store.hpp"
#include "tests/catch.hpp"
#include "tests/ledger_fixtures.hpp"

namespace credits::actors {
namespace {

using namespace credits::tests;
using namespace std::chrono_literals;

class Running {
 public:
  explicit Running(persistence::Store& store)
      : actors_{spawn_ledger(system_, store, environment_, {})} {}
  ~Running() { close(); }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  PendingAnswer send(Operation operation) {
    const auto router = router_of(actors_.routers, operation.install_id);
    Question question = question_of(std::move(operation));
    caf::anon_send(router, run_atom::value, std::move(question.request));
    return std::move(question.answer);
  }

  void wait_for_pending(std::int64_t mutations) const {
    while (environment_.figures.pending_mutations < mutations) std::this_thread::sleep_for(1ms);
  }

  void close() {
    if (actors_.routers.empty()) return;
    caf::scoped_actor self{system_};
    close_ledger(self, actors_);
    actors_.routers.clear();
  }

 private:
  Environment environment_{system_time, random_mutation_id, [](const Event&) {}, record,
                           false,       QuotaInForce{quota}};
  caf::actor_system_config config_;
  caf::actor_system system_{config_};
  LedgerActors actors_;
};

Operation commit_of(const std::string& id) {
  return {id, Commit{ledger::Backend::gemini, "core", 1}};
}

TEST_CASE("nothing is answered while a write is pending, and everything once it is done") {
  ObservedStore store;
  Running running{store};
  running.send(commit_of("a")).get();
  store.hold_appends();
  std::vector<PendingAnswer> answers;
  answers.push_back(running.send(commit_of("a")));
  store.wait_for_held_append();
  for (int i = 1; i < 100; ++i) answers.push_back(running.send(commit_of("a")));
  running.wait_for_pending(100);
  answers.push_back(running.send({"a", Get{}}));
  answers.push_back(running.send({"a", Plan{}}));
  for (const auto& answer : answers) CHECK(answer.wait_for(1ms) == std::future_status::timeout);
  store.release_appends();
  for (auto& answer : answers) CHECK_NOTHROW(answer.get());
  CHECK(store.appends == 3);  // the first one, the held one, and one for all that had queued up
  CHECK(store.row("a")->version == 101);
}

TEST_CASE("commits from many threads on few installs are each counted once") {
  ObservedStore store;
  {
    Running running{store};
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 8; ++thread) {
      threads.emplace_back([&running] {
        for (int i = 0; i < 250; ++i)
          running.send(commit_of("install-" + std::to_string(i % 5))).get();
      });
    }
    for (auto& thread : threads) thread.join();
  }
  std::int64_t consumed = 0;
  for (int i = 0; i < 5; ++i) {
    const std::string id = "install-" + std::to_string(i);
    consumed += store.row(id)->lifetime_consumed;
    CHECK(store.history(id).size() == store.row(id)->version);
  }
  CHECK(consumed == 2'000);
}

TEST_CASE("closing under load answers every request sent before it") {
  ObservedStore store;
  Running running{store};
  std::vector<PendingAnswer> answers;
  for (int i = 0; i < 2'000; ++i) {
    answers.push_back(running.send(commit_of("install-" + std::to_string(i % 300))));
  }
  running.close();
  for (auto& answer : answers) CHECK_NOTHROW(answer.get());
  CHECK(store.installs() == 300);
}

TEST_CASE("mutation ids do not repeat") {
  const auto first = random_mutation_id();
  const auto second = random_mutation_id();
  CHECK_FALSE(first == second);
}

}  // namespace
}  // namespace credits::actors
