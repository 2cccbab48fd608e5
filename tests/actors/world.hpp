// A ledger of actors on CAF's testing scheduler: everything runs on the test's own thread, in a
// fixed order, by a clock that the test moves.
#pragma once

#include <algorithm>
#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <chrono>
#include <future>
#include <string>
#include <utility>
#include <vector>

#include "actors/import.hpp"
#include "actors/system.hpp"
#include "tests/actors/asking.hpp"
#include "tests/actors/observed_store.hpp"
#include "tests/ledger_fixtures.hpp"

namespace credits::tests {

class World {
 public:
  explicit World(persistence::Store& store, actors::Tuning tuning = small_tuning(),
                 ledger::Time began = november, actors::SteadyTime steadily_began = {})
      : now{began},
        steady{steadily_began},
        system_{config_},
        scheduler_{dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler())},
        actors_{actors::spawn_ledger(system_, store, environment, tuning)} {
    idle_actors_ = system_.registry().running();
  }

  ~World() { close(); }
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  static actors::Tuning small_tuning() {
    actors::Tuning tuning;
    tuning.own_threads = false;
    tuning.router_shards = 2;
    tuning.passivate_after = std::chrono::minutes{10};
    return tuning;
  }

  // Puts the request into its router's mailbox; run() handles it.
  PendingAnswer send(actors::Operation operation) {
    const auto router = router_of(operation.install_id);
    Question question = question_of(std::move(operation));
    caf::anon_send(router, actors::run_atom::value, std::move(question.request));
    return std::move(question.answer);
  }

  void run() { scheduler_.run(); }

  // Handles one message; false if there is none left.
  bool run_once() { return scheduler_.try_run_once(); }

  // Handles one message, of the actor that `choice` selects among those with messages; false if
  // none may run.
  bool run_one_of(std::size_t choice) {
    auto& jobs = scheduler_.jobs;
    const auto end = std::stable_partition(
        jobs.begin(), jobs.end(), [&](const caf::resumable* job) { return job != stalled_; });
    const auto count = end - jobs.begin();
    if (count == 0) return false;
    const auto chosen = jobs.begin() + static_cast<std::ptrdiff_t>(choice) % count;
    std::rotate(jobs.begin(), chosen, chosen + 1);
    return run_once();
  }

  // For run_one_of(): the persister is in the middle of a write.
  void stall_writes() {
    stalled_ =
        dynamic_cast<caf::resumable*>(caf::actor_cast<caf::abstract_actor*>(actors_.persister));
  }
  void resume_writes() { stalled_ = nullptr; }

  void pass(std::chrono::milliseconds time) {
    steady += time;
    scheduler_.advance_time(time);
    run();
  }

  actors::Answer ask(actors::Operation operation) {
    auto answer = send(std::move(operation));
    run();
    return answer.get();
  }

  actors::InstallView commit(const std::string& id, std::int64_t credits = 1) {
    return std::get<actors::InstallView>(ask(commit_of(id, credits)));
  }

  static actors::Operation commit_of(const std::string& id, std::int64_t credits = 1) {
    return {id, actors::Commit{ledger::Backend::gemini, "core", credits}};
  }

  std::size_t live_installs() { return system_.registry().running() - idle_actors_; }

  std::vector<ledger::Row> list() {
    auto promise = std::make_shared<std::promise<std::vector<ledger::Row>>>();
    auto rows = promise->get_future();
    caf::anon_send(actors_.reporter, actors::list_atom::value,
                   actors::ListRequest{{}, std::move(promise)});
    run();
    return rows.get();
  }

  // The report on the install that an operator gets.
  actors::InstallReport report(const std::string& id) {
    auto promise = std::make_shared<std::promise<actors::InstallReport>>();
    auto report = promise->get_future();
    caf::anon_send(router_of(id), actors::report_atom::value,
                   actors::ReportRequest{id, std::move(promise)});
    run();
    return report.get();
  }

  // Sends the rows to be imported; run() imports them.
  std::future<actors::Imported> import(const std::vector<ledger::Row>& rows) {
    auto promise = std::make_shared<std::promise<actors::Imported>>();
    auto imported = promise->get_future();
    caf::anon_send(actors_.persister, actors::import_atom::value,
                   actors::ImportRequest{actors::import_of(rows, environment), std::move(promise)});
    return imported;
  }

  // Makes all installs drop their rows from memory.
  void forget() {
    for (auto& router : actors_.routers) caf::anon_send(router, actors::forget_atom::value);
    run();
  }

  const actors::router_actor& router_of(const std::string& id) const {
    return actors::router_of(actors_.routers, id);
  }

  // As creditsd does at SIGTERM.
  void close() {
    for (auto& router : actors_.routers) close(router);
    close(actors_.confirmer);
    close(actors_.persister);
    close(actors_.snapshotter);
    close(actors_.loader);
    close(actors_.reporter);
  }

  ledger::Time now;           // the wall clock, moved by the test
  actors::SteadyTime steady;  // moved by pass()
  std::vector<std::string> warnings;
  actors::Environment environment{
      [this] { return now; },
      [this] {
        return ledger::MutationId{1, ++mutations_};
      },
      [this](const actors::Event& event) { warnings.push_back(event.text); },
      record,
      false,
      actors::QuotaInForce{quota},
      false,
      {},
      {},
      [this] { return steady; }};

 private:
  struct Config : caf::actor_system_config {
    Config() { set("scheduler.policy", caf::atom("testing")); }
  };

  template <class Handle>
  void close(Handle& handle) {
    if (!handle) return;
    caf::anon_send(handle, actors::close_atom::value);
    handle = nullptr;
    run();
  }

  std::uint64_t mutations_ = 0;
  Config config_;
  caf::actor_system system_;
  caf::scheduler::test_coordinator& scheduler_;
  actors::LedgerActors actors_;
  std::size_t idle_actors_ = 0;
  const caf::resumable* stalled_ = nullptr;
};

}  // namespace credits::tests
