// The persister actor: makes mutations durable by group commit, without a timer. While one batch is
// being synced, the next one queues up in the mailbox; a message that it sends itself marks where
// the queue ended, so a batch is as large as the load makes it, up to a bound.
//
// After a failed write an author may still have mutations in the mailbox that build on the lost
// one. The persister fences the author off: it drops what comes of its old epoch, until the author
// says that it has started a new one.
#pragma once

#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "actors/environment.hpp"
#include "actors/interfaces.hpp"

namespace credits::actors {

struct PersisterState {
  explicit PersisterState(persister_actor::stateful_pointer<PersisterState> actor) : self{actor} {}

  void append(Append append);
  void write();
  void resume(caf::actor_id author);
  caf::ok_atom close();

  static inline const char* name = "persister";

  persister_actor::stateful_pointer<PersisterState> self;
  persistence::Store* store = nullptr;
  Environment* environment = nullptr;
  snapshotter_actor snapshotter;
  std::size_t batch_mutations_max = 0;

 private:
  // Of one install in one batch.
  struct Author {
    install_actor install;
    Epoch epoch = 0;
    std::uint64_t stored_version = 0;  // 0: none stored
    bool conflict = false;
  };

  std::size_t index_of(const Append& append);
  void acknowledge(const std::vector<persistence::Outcome>& outcomes);
  void drop_all(const std::string& reason);
  void drop(const Author& author, WriteFailure failure, const std::string& reason);

  std::vector<persistence::Mutation> batch_;
  std::vector<std::size_t> author_index_;  // for each mutation of the batch
  std::vector<Author> authors_;
  std::unordered_map<caf::actor_id, std::size_t> index_of_author_;
  std::unordered_set<caf::actor_id> fenced_;
  bool write_is_due_ = false;
};

persister_actor::behavior_type persister(persister_actor::stateful_pointer<PersisterState> self,
                                         persistence::Store* store, Environment* environment,
                                         snapshotter_actor snapshotter,
                                         std::size_t batch_mutations_max);

}  // namespace credits::actors
