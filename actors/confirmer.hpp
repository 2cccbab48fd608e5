// The confirmer actor: over a store that others write to as well, an answer that changes nothing
// waits here until the row that it was judged on is known to be the newest. One comparison serves
// all answers that have queued up. It has a thread and a connection of its own, so that no read
// waits for a write of other installs.
//
// It can only confirm. A row that is no longer the newest may have been replaced by this node's own
// next write, in which case the answer was right; the persister knows that, and so decides.
#pragma once

#include <functional>
#include <vector>

#include "actors/environment.hpp"
#include "actors/interfaces.hpp"

namespace credits::actors {

// Gives the answers of those whose rows are the newest, and hands the others on.
void confirm(persistence::Store& store, std::vector<Read> reads,
             const std::function<void(Unconfirmed)>& hand_on);

struct ConfirmerState {
  explicit ConfirmerState(confirmer_actor::stateful_pointer<ConfirmerState> actor) : self{actor} {}

  void add(Read read);
  void confirm();
  void resume(const install_actor& install);
  void drain(const install_actor& install);

  static inline const char* name = "confirmer";

  confirmer_actor::stateful_pointer<ConfirmerState> self;
  persistence::Store* store = nullptr;
  persister_actor persister;

 private:
  std::vector<Read> reads_;
};

confirmer_actor::behavior_type confirmer(confirmer_actor::stateful_pointer<ConfirmerState> self,
                                         persistence::Store* store, persister_actor persister);

}  // namespace credits::actors
