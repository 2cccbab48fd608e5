// The install actor: holds one row and judges every operation on it, one after the other.
//
// It does not wait for the disk between two operations. Each operation is judged on the row as it
// will be, and the persister answers it when the version it was judged on is durable. If a write
// fails, everything judged on the unwritten versions is void and comes back: the row is loaded
// again, reads are judged again, and mutations are answered that their outcome is unknown. After a
// conflict nothing was stored, so all unanswered operations are judged again, in order.
//
// Over a shared store, a read-only answer that waits for no write goes through the confirmer. If
// the row was outdated, it comes back as after a conflict.
//
// If only the store can say whether a replay key is known, its operation and all later ones wait
// for the store's reply.
#pragma once

#include <memory>
#include <string>

#include "actors/environment.hpp"
#include "actors/interfaces.hpp"
#include "actors/judge.hpp"
#include "actors/memory.hpp"

namespace credits::actors {

struct InstallState {
  explicit InstallState(install_actor::stateful_pointer<InstallState> actor) : self{actor} {}

  void run(Request request);
  void loaded(Loaded result);
  void recalled(Recalled result);
  void dropped(Dropped dropped);
  void resumed();
  void drained();
  void retire();
  void leave_if_done();

  static inline const char* name = "install";

  install_actor::stateful_pointer<InstallState> self;
  Environment* environment = nullptr;
  router_actor router;
  persister_actor persister;
  confirmer_actor confirmer;  // none: the store is not shared
  loader_actor loader;
  std::string install_id;
  std::shared_ptr<InstallStats> stats;
  std::size_t replay_keys_known_max = 0;

 private:
  enum class Phase : std::uint8_t {
    cold,
    loading,
    live,
    recalling,  // waits for the store's entries for replay keys
    draining,   // too much is on its way to the disk: waits until all of it has arrived
    spoiled,    // the row cannot be trusted: loads it again once all on its way has arrived
    fenced,     // a write has failed: everything on its way is coming back
  };

  // Returns false, and leaves the request as it is, if the request has to wait: for a change of
  // phase_, or, if that is still live, for the store's entries for its replay keys.
  bool judge_if_possible(Request& request);
  void judge_now(Request request, const Remembered& remembered);
  Verdict judge_on_row(const Operation& operation, const Remembered& remembered);
  void answer(Request request, Verdict verdict);
  bool has_much_on_its_way() const;
  void wait_until_drained(Phase phase);
  void load();
  void report_loss(const persistence::Stamp& loaded);
  void hand_to_confirmer(Request request);
  void judge_stash();
  void recall();
  void fail_stash(const ReadFailure& failure);
  void count_holds();
  bool is_durable() const { return row_.version == stats->durable_version; }

  Phase phase_ = Phase::cold;
  bool retiring_ = false;
  ledger::Row row_;                        // when live: including everything on its way to the disk
  std::int64_t reservations_counted_ = 0;  // this install's part of the figure
  std::int64_t credits_counted_ = 0;       // this install's part of the figure
  Memory memory_;
  std::vector<Request> returned_;  // when fenced: requests that have come back, to be judged again
  bool awaits_confirmation_ = false;  // an answer may still have to be compared with the store
  std::uint64_t judged_ = 0;
  std::vector<Request> stash_;  // requests that arrived while the row could not be judged on
};

install_actor::behavior_type install(install_actor::stateful_pointer<InstallState> self,
                                     Environment* environment, router_actor router,
                                     persister_actor persister, confirmer_actor confirmer,
                                     loader_actor loader, std::string install_id,
                                     std::shared_ptr<InstallStats> stats,
                                     std::size_t replay_keys_known_max);

}  // namespace credits::actors
