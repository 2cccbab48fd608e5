// The confirmer actor: over a shared store, a read-only answer waits here until the store has
// confirmed that the row it was judged on is the newest. One comparison serves all answers that
// have queued up. The confirmer has its own thread and connection, so that no read waits for
// another install's write.
//
// It can only confirm. This node's own next write may have replaced an outdated row, in which case
// the answer was right. The persister knows that, and therefore decides.
#pragma once

#include <functional>
#include <vector>

#include "actors/environment.hpp"
#include "actors/interfaces.hpp"

namespace credits::actors {

// Completes the reads whose rows are the newest, and hands the others on.
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
