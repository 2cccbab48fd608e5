#include "actors/persister.hpp"

#include <utility>

namespace credits::actors {

void PersisterState::append(Append append) {
  const bool mutates = append.mutation.has_value();
  if (const auto fenced = fenced_.find(append.author->id()); fenced != fenced_.end()) {
    const auto& [failure, reason] = fenced->second;
    return self->send(append.author, dropped_atom::value,
                      Dropped{failure, reason, {{std::move(append.request), mutates}}});
  }
  // Nothing that a read could wait for is under way: its author's mutations came before it.
  if (!mutates && !find_author(append.author)) {
    return append.request.give();
  }
  waiting_.push_back({author_of(append), mutates, std::move(append.request)});
  if (!mutates) return;
  batch_.push_back(*std::move(append.mutation));
  if (batch_.size() >= batch_mutations_max) return write();
  if (std::exchange(write_is_due_, true)) return;
  self->send(self, write_atom::value);
}

std::optional<std::size_t> PersisterState::find_author(const install_actor& author) const {
  const auto found = index_of_author_.find(author->id());
  return found == index_of_author_.end() ? std::nullopt : std::optional{found->second};
}

std::size_t PersisterState::author_of(const Append& append) {
  const auto [found, is_new] = index_of_author_.try_emplace(append.author->id(), authors_.size());
  if (is_new) authors_.push_back({append.author, append.durable_version});
  return found->second;
}

void PersisterState::write() {
  write_is_due_ = false;
  if (batch_.empty()) return;
  if (const auto outcomes = store_batch()) {
    environment->store_health.write_worked();  // before an answer shows it
    acknowledge(*outcomes);
    self->send(snapshotter, stored_atom::value);
  }
  clear_batch();
}

std::optional<std::vector<persistence::Outcome>> PersisterState::store_batch() {
  try {
    return store->append(batch_);
  } catch (const persistence::StoreBrokenError& error) {
    failed(error.what(), environment->store_health.write_failed_for_good(error.what()));
  } catch (const std::exception& error) {
    failed(error.what(), environment->store_health.write_failed(error.what()));
  }
  return std::nullopt;
}

void PersisterState::failed(const std::string& reason, bool is_news) {
  if (is_news) environment->warn("a write failed: " + reason);
  give_all_back(reason);
}

void PersisterState::acknowledge(const std::vector<persistence::Outcome>& outcomes) {
  std::size_t next_mutation = 0;
  for (Waiting& waiting : waiting_) {
    Author& author = authors_[waiting.author];
    if (waiting.mutates) {
      const std::size_t mutation = next_mutation++;
      author.conflicts = author.conflicts || outcomes[mutation] == persistence::Outcome::conflict;
      if (!author.conflicts) *author.durable_version = batch_[mutation].after.version;
    }
    if (author.conflicts) {
      author.unanswered.push_back({std::move(waiting.request), waiting.mutates});
    } else {
      waiting.request.give();
    }
  }
  for (Author& author : authors_) {
    if (author.conflicts) fence(author, WriteFailure::conflict, "someone else wrote the install");
  }
}

void PersisterState::give_all_back(const std::string& reason) {
  for (Waiting& waiting : waiting_) {
    authors_[waiting.author].unanswered.push_back({std::move(waiting.request), waiting.mutates});
  }
  for (Author& author : authors_) fence(author, WriteFailure::failed, reason);
}

void PersisterState::fence(Author& author, WriteFailure failure, const std::string& reason) {
  fenced_[author.install->id()] = {failure, reason};
  self->send(author.install, dropped_atom::value,
             Dropped{failure, reason, std::move(author.unanswered)});
}

void PersisterState::clear_batch() {
  for (const Author& author : authors_) {
    if (author.wants_drained) self->send(author.install, drained_atom::value);
  }
  batch_.clear();
  waiting_.clear();
  authors_.clear();
  index_of_author_.clear();
}

void PersisterState::resume(const install_actor& author) {
  fenced_.erase(author->id());
  self->send(author, resumed_atom::value);
}

void PersisterState::drain(const install_actor& author) {
  if (const auto index = find_author(author)) {
    authors_[*index].wants_drained = true;
  } else {
    self->send(author, drained_atom::value);
  }
}

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
      [self](resume_atom, const install_actor& author) { self->state.resume(author); },
      [self](drain_atom, const install_actor& author) { self->state.drain(author); },
      [self](close_atom) { return self->state.close(); },
  };
}

}  // namespace credits::actors
