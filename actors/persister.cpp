#include "actors/persister.hpp"

#include <utility>

namespace credits::actors {

void PersisterState::append(Append append) {
  if (fenced_.contains(append.author->id())) return;
  author_index_.push_back(index_of(append));
  batch_.push_back(std::move(append.mutation));
  if (batch_.size() >= batch_mutations_max) return write();
  if (std::exchange(write_is_due_, true)) return;
  self->send(self, write_atom::value);
}

std::size_t PersisterState::index_of(const Append& append) {
  const auto [found, is_new] = index_of_author_.try_emplace(append.author->id(), authors_.size());
  if (is_new) authors_.push_back({append.author, append.epoch, 0, false});
  return found->second;
}

void PersisterState::write() {
  write_is_due_ = false;
  if (batch_.empty()) return;
  try {
    acknowledge(store->append(batch_));
    environment->store_health.write_worked();
    self->send(snapshotter, stored_atom::value);
  } catch (const persistence::StoreError& error) {
    environment->store_health.write_failed(error.what());
    drop_all(error.what());
  }
  batch_.clear();
  author_index_.clear();
  authors_.clear();
  index_of_author_.clear();
}

void PersisterState::acknowledge(const std::vector<persistence::Outcome>& outcomes) {
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    Author& author = authors_[author_index_[i]];
    if (outcomes[i] == persistence::Outcome::stored) {
      author.stored_version = batch_[i].after.version;
    } else {
      author.conflict = true;
    }
  }
  for (const Author& author : authors_) {
    if (author.stored_version > 0) {
      self->send(author.install, stored_atom::value, author.epoch, author.stored_version);
    }
    if (author.conflict) drop(author, WriteFailure::conflict, "");
  }
}

void PersisterState::drop_all(const std::string& reason) {
  for (const Author& author : authors_) drop(author, WriteFailure::failed, reason);
}

void PersisterState::drop(const Author& author, WriteFailure failure, const std::string& reason) {
  fenced_.insert(author.install->id());
  self->send(author.install, dropped_atom::value, author.epoch, failure, reason);
}

void PersisterState::resume(caf::actor_id author) { fenced_.erase(author); }

caf::ok_atom PersisterState::close() {
  write();
  self->quit();
  return caf::ok_atom::value;
}

persister_actor::behavior_type persister(persister_actor::stateful_pointer<PersisterState> self,
                                         persistence::Store* store, Environment* environment,
                                         snapshotter_actor snapshotter,
                                         std::size_t batch_mutations_max) {
  PersisterState& state = self->state;
  state.store = store;
  state.environment = environment;
  state.snapshotter = std::move(snapshotter);
  state.batch_mutations_max = batch_mutations_max;
  return {
      [self](append_atom, Append& append) { self->state.append(std::move(append)); },
      [self](write_atom) { self->state.write(); },
      [self](resume_atom, caf::actor_id author) { self->state.resume(author); },
      [self](close_atom) { return self->state.close(); },
  };
}

}  // namespace credits::actors
