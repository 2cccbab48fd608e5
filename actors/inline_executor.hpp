// Messages from threads that are not CAF's, such as those of a server: the actors that a message
// wakes run at once, on the thread that sent it.
//
// Handing a message to CAF's own threads costs a lock, a wake-up and a change of threads for each
// hop; a plan, which waits for no disk, was three hops of nothing else. CAF's network threads run
// actors in the same way. An actor still runs on one thread at a time: where another thread has it,
// the message waits in its mailbox, and that thread comes to it.
#pragma once

#include <caf/all.hpp>
#include <utility>
#include <vector>

namespace credits::actors {

// Runs actors on the thread that has it.
class InlineExecutor : public caf::execution_unit {
 public:
  explicit InlineExecutor(caf::actor_system& system) : caf::execution_unit{&system} {}

  void exec_later(caf::resumable* actor) override { ready_.push_back(actor); }

  // Runs what has been woken, and what that wakes. An actor that has more to do than is one
  // caller's share is left to CAF's threads.
  void run();

 private:
  std::vector<caf::resumable*> ready_;
};

// Sends `content` to `receiver`, and runs what that wakes.
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
