// The install actor: holds one row and judges every operation on it, one after the other.
//
// It does not wait for the disk between two operations: each is judged on what the row will be, and
// answered when the version it was judged on is durable. If a write fails, all that was judged on
// unwritten versions is void: the row is loaded again, reads are judged anew, and mutations whose
// outcome is unknown are told so. A conflict is no such case: it stored nothing, so what was
// unanswered is judged anew, in order.
#pragma once

#include <string>

#include "actors/environment.hpp"
#include "actors/interfaces.hpp"

namespace credits::actors {

struct InstallState {
  explicit InstallState(install_actor::stateful_pointer<InstallState> actor) : self{actor} {}

  void run(Request request);
  void loaded(Loaded result);
  void stored(Epoch epoch, std::uint64_t version);
  void dropped(Epoch epoch, WriteFailure failure, const std::string& reason);
  void retire();

  static inline const char* name = "install";

  install_actor::stateful_pointer<InstallState> self;
  Environment* environment = nullptr;
  router_actor router;
  persister_actor persister;
  loader_actor loader;
  std::string install_id;

 private:
  // Answered once `version` is durable.
  struct Waiting {
    Request request;
    Answer answer;
    std::uint64_t version = 0;
    bool mutates = false;
  };

  enum class Phase : std::uint8_t { cold, loading, live };

  void judge_now(Request request);
  void load();
  void judge_stash();
  void leave_if_done();

  Phase phase_ = Phase::cold;
  bool retiring_ = false;
  Epoch epoch_ = 1;
  std::uint64_t durable_version_ = 0;
  ledger::Row row_;               // when live: with all that is on its way to the disk
  std::vector<Waiting> waiting_;  // in the order of their versions
  std::vector<Request> stash_;    // what came while the row was loading
};

install_actor::behavior_type install(install_actor::stateful_pointer<InstallState> self,
                                     Environment* environment, router_actor router,
                                     persister_actor persister, loader_actor loader,
                                     std::string install_id);

}  // namespace credits::actors
