// The install actor: holds one row and judges every operation on it, one after the other.
//
// It does not wait for the disk between two operations: each is judged on what the row will be, and
// the persister answers it when the version it was judged on is durable. If a write fails, all that
// was judged on unwritten versions is void and comes back: the row is loaded again, reads are
// judged anew, and mutations whose outcome is unknown are told so. A conflict is no such case: it
// stored nothing, so what was unanswered is judged anew, in order.
//
// Where others write to the store too, an answer that changes nothing and waits for no write goes
// by the confirmer, and comes back as from a conflict if the row was old.
//
// An operation under a name that the memory knows nothing of waits until the store has told, and so
// does every later one.
#pragma once

#include <memory>
#include <string>

#include "actors/environment.hpp"
#include "actors/interfaces.hpp"
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
  confirmer_actor confirmer;  // none: nobody else writes to the store
  loader_actor loader;
  std::string install_id;
  std::shared_ptr<InstallStats> stats;
  std::size_t replay_keys_known_max = 0;

 private:
  enum class Phase : std::uint8_t {
    cold,
    loading,
    live,
    recalling,  // the store is being asked about names
    draining,   // so much is on its way to the disk that it has to arrive first
    spoiled,    // the row cannot be trusted, and is loaded again when all on its way has arrived
    fenced,     // a write has failed, and what was on its way is coming back
  };

  // False, and nothing is done with it, if something has to be waited for: by phase_, or, when that
  // is still live, the store's knowledge of its names.
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
  ledger::Row row_;                        // when live: with all that is on its way to the disk
  std::int64_t reservations_counted_ = 0;  // in the figures
  std::int64_t credits_counted_ = 0;       // in the figures
  Memory memory_;
  std::vector<Request> returned_;     // when fenced: what has come back and is to be judged anew
  bool awaits_confirmation_ = false;  // an answer may still have to be compared with the store
  std::uint64_t judged_ = 0;
  std::vector<Request> stash_;  // what came while the row could not be judged on
};

install_actor::behavior_type install(install_actor::stateful_pointer<InstallState> self,
                                     Environment* environment, router_actor router,
                                     persister_actor persister, confirmer_actor confirmer,
                                     loader_actor loader, std::string install_id,
                                     std::shared_ptr<InstallStats> stats,
                                     std::size_t replay_keys_known_max);

}  // namespace credits::actors
