// Sends messages from threads that are not CAF's, such as a server's: the actors that a message
// wakes run at once, on the sending thread.
//
// Each hop through CAF's own threads costs a lock, a wake-up and a thread switch; a plan, which
// needs no disk, consisted of three such hops. CAF's network threads run actors in the same way. An
// actor still runs on one thread at a time: if another thread is running it, the message waits in
// its mailbox until that thread gets to it.
#pragma once

#include <caf/all.hpp>
#include <utility>
#include <vector>

namespace credits::actors {

// Runs actors on the thread that calls run().
class InlineExecutor : public caf::execution_unit {
 public:
  explicit InlineExecutor(caf::actor_system& system) : caf::execution_unit{&system} {}

  void exec_later(caf::resumable* actor) override { ready_.push_back(actor); }

  // Runs the actors that have been woken, and those that they wake in turn. An actor that has more
  // messages than one run may handle goes to CAF's threads.
  void run();

 private:
  std::vector<caf::resumable*> ready_;
};

// Sends `content` to `receiver`, and runs the actors that this wakes.
template <class Receiver, class... Content>
void send_and_run(const Receiver& receiver, Content&&... content) {
  auto* const actor = caf::actor_cast<caf::abstract_actor*>(receiver);
  InlineExecutor executor{actor->home_system()};
  actor->enqueue(caf::make_mailbox_element(nullptr, caf::make_message_id(), {},
                                           std::forward<Content>(content)...),
                 &executor);
  executor.run();
}

}  // namespace credits::actors
