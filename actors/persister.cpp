#include "actors/persister.hpp"

#include <algorithm>
#include <exception>
#include <utility>

namespace credits::actors {

namespace {

// Over a shared store somebody may have been quicker.
void tell_imported(const ImportRequest& request, const std::vector<persistence::Outcome>& outcomes,
                   std::uint64_t installs) {
  const auto conflicts =
      std::count(outcomes.begin(), outcomes.end(), persistence::Outcome::conflict);
  if (conflicts == 0) return request.imported->set_value({true, installs});
  request.imported->set_exception(std::make_exception_ptr(persistence::StoreError{
      "the import is not whole: " + std::to_string(conflicts) + " of " +
      std::to_string(outcomes.size()) + " installs were created by another node meanwhile"}));
}

}  // namespace

void PersisterState::append(Append append) {
  const bool mutates = append.mutation.has_value();
  if (const auto fenced = fenced_.find(append.author->id()); fenced != fenced_.end()) {
    const auto& [failure, reason] = fenced->second;
    if (mutates) --environment->figures.pending_mutations;
    return self->send(append.author, dropped_atom::value,
                      Dropped{failure, reason, {{std::move(append.request), mutates}}});
  }
  // Nothing that a read could wait for is under way: its author's mutations came before it.
  const bool may_be_old = environment->store_is_shared;
  if (!mutates && !may_be_old && !is_author(*append.vitals)) {
    return append.request.give();
  }
  const std::size_t author = author_of(append);
  waiting_.push_back({author, mutates, std::move(append.request)});
  if (mutates) {
    if (!authors_[author].first_mutation) authors_[author].first_mutation = batch_.size();
    if (batch_.empty()) environment->figures.oldest_pending.begin(append.judged_at);
    batch_.push_back(*std::move(append.mutation));
    if (batch_.size() >= tuning.batch_mutations_max) return write();
  }
  if (mutates || may_be_old) write_soon();
}

void PersisterState::write_soon() {
  if (std::exchange(write_is_due_, true)) return;
  self->send(self, write_atom::value);
}

std::size_t PersisterState::author_of(const Append& append) {
  Vitals& vitals = *append.vitals;
  if (!is_author(vitals)) {
    vitals.batch = batch_number_;
    vitals.place_in_batch = authors_.size();
    authors_.push_back({append.author, append.vitals, append.request.operation.install_id});
  }
  return vitals.place_in_batch;
}

void PersisterState::import(ImportRequest request) {
  write();
  const std::uint64_t installs = store->installs();
  if (installs > 0) return request.imported->set_value({false, installs});
  environment->figures.oldest_pending.begin(std::chrono::steady_clock::now());
  try {
    const auto outcomes = request.mutations.empty() ? std::vector<persistence::Outcome>{}
                                                    : store_and_count(request.mutations);
    forget(request.routers);
    tell_imported(request, outcomes, store->installs());
  } catch (const std::exception& error) {
    write_failed(error);
    forget(request.routers);
    request.imported->set_exception(std::current_exception());
  }
  environment->figures.oldest_pending.end();
}

// Who was looked for before an import has an actor that may not know of its row.
void PersisterState::forget(const std::vector<router_actor>& routers) {
  for (const router_actor& router : routers) self->send(router, forget_atom::value);
}

void PersisterState::write() {
  write_is_due_ = false;
  if (waiting_.empty()) return;
  if (const auto outcomes = store_batch()) {
    batch_is_done_with();
    acknowledge(*outcomes);
  }
  clear_batch();
}

std::optional<std::vector<persistence::Outcome>> PersisterState::store_batch() {
  try {
    auto outcomes = batch_.empty() ? std::vector<persistence::Outcome>{} : store_and_count(batch_);
    if (environment->store_is_shared) look_for_conflicts();
    return outcomes;
  } catch (const std::exception& error) {
    write_failed(error);
    batch_is_done_with();
    give_all_back(error.what());
    return std::nullopt;
  }
}

// A write that was stored was judged on the newest row; what was only read has to be compared.
void PersisterState::look_for_conflicts() {
  std::vector<persistence::Seen> seen;
  std::vector<Author*> readers;
  for (Author& author : authors_) {
    if (author.first_mutation) continue;
    seen.push_back({author.install_id, author.vitals->durable_version});
    readers.push_back(&author);
  }
  if (seen.empty()) return;
  const std::vector<bool> current = store->are_current(seen);
  for (std::size_t i = 0; i < readers.size(); ++i) readers[i]->conflicts = !current[i];
}

// A store that is elsewhere may be gone without a write that would tell.
void PersisterState::probe() {
  self->delayed_send(self, tuning.probe_interval, probe_atom::value);
  const auto idle = std::chrono::steady_clock::now() - environment->figures.last_stored_at.load();
  if (idle < tuning.probe_interval) return;
  try {
    store->ping();
    if (environment->store_health.is_failing(StoreHealth::Part::write)) store->probe_write();
    environment->store_health.worked(StoreHealth::Part::write);
  } catch (const std::exception& error) {
    tell_failure(error);
  }
}

// Counted and known to work before an answer shows it.
std::vector<persistence::Outcome> PersisterState::store_and_count(
    const std::vector<persistence::Mutation>& mutations) {
  const SteadyTime began = std::chrono::steady_clock::now();
  auto outcomes = store->append(mutations);
  environment->store_health.worked(StoreHealth::Part::write);
  count_write(began, mutations.size());
  count_stored(mutations, outcomes);
  return outcomes;
}

void PersisterState::write_failed(const std::exception& error) {
  ++environment->figures.write_failures;
  tell_failure(error);
}

void PersisterState::tell_failure(const std::exception& error) {
  StoreHealth& health = environment->store_health;
  const bool is_for_good = dynamic_cast<const persistence::StoreBrokenError*>(&error) != nullptr;
  const bool is_news = is_for_good ? health.failed_for_good(error.what())
                                   : health.failed(StoreHealth::Part::write, error.what());
  if (is_news) environment->tell({"write_failed", std::string{"a write failed: "} + error.what()});
}

void PersisterState::count_write(SteadyTime began, std::size_t rows) {
  Figures& figures = environment->figures;
  const SteadyTime now = std::chrono::steady_clock::now();
  figures.sync_us.record(microseconds_between(began, now), now);
  figures.batch_rows.record(rows, now);
  figures.last_stored_at = now;
  figures.installs = store->installs();
  figures.snapshot_pending_rows = store->pending_rows();
}

void PersisterState::count_stored(const std::vector<persistence::Mutation>& mutations,
                                  const std::vector<persistence::Outcome>& outcomes) {
  std::uint64_t entries = 0;
  environment->figures.entries.change([&](StoredEntries& stored) {
    for (std::size_t i = 0; i < mutations.size(); ++i) {
      if (outcomes[i] == persistence::Outcome::conflict) continue;
      for (const ledger::Entry& entry : mutations[i].entries) stored.add(entry);
      entries += mutations[i].entries.size();
    }
  });
  if (entries > 0) self->send(snapshotter, stored_atom::value, entries);
}

void PersisterState::batch_is_done_with() {
  environment->figures.pending_mutations -= static_cast<std::int64_t>(batch_.size());
  environment->figures.oldest_pending.end();
}

void PersisterState::acknowledge(const std::vector<persistence::Outcome>& outcomes) {
  for (Author& author : authors_) {
    // What it read before was of a row that was old then.
    if (author.first_mutation) {
      author.conflicts = outcomes[*author.first_mutation] == persistence::Outcome::conflict;
    }
  }
  std::size_t next_mutation = 0;
  for (Waiting& waiting : waiting_) {
    Author& author = authors_[waiting.author];
    if (waiting.mutates) {
      const std::size_t mutation = next_mutation++;
      author.conflicts = author.conflicts || outcomes[mutation] == persistence::Outcome::conflict;
      if (!author.conflicts) author.vitals->durable_version = batch_[mutation].after.version;
    }
    if (author.conflicts) {
      author.unanswered.push_back({std::move(waiting.request), waiting.mutates});
    } else {
      waiting.request.give();
    }
  }
  for (Author& author : authors_) {
    if (!author.conflicts) continue;
    ++environment->figures.conflicts;
    fence(author, WriteFailure::conflict, "someone else wrote the install");
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
  ++batch_number_;
}

void PersisterState::resume(const install_actor& author) {
  fenced_.erase(author->id());
  self->send(author, resumed_atom::value);
}

void PersisterState::drain(const install_actor& author) {
  const auto found = std::find_if(authors_.begin(), authors_.end(), [&author](const Author& known) {
    return known.install == author;
  });
  if (found != authors_.end()) {
    found->wants_drained = true;
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
                                         snapshotter_actor snapshotter, const Tuning& tuning) {
  PersisterState& state = self->state;
  state.store = store;
  state.environment = environment;
  state.snapshotter = std::move(snapshotter);
  state.tuning = tuning;
  if (store->is_shared()) self->delayed_send(self, tuning.probe_interval, probe_atom::value);
  return {
      [self](append_atom, Append& append) { self->state.append(std::move(append)); },
      [self](import_atom, ImportRequest& request) { self->state.import(std::move(request)); },
      [self](write_atom) { self->state.write(); },
      [self](probe_atom) { self->state.probe(); },
      [self](resume_atom, const install_actor& author) { self->state.resume(author); },
      [self](drain_atom, const install_actor& author) { self->state.drain(author); },
      [self](close_atom) { return self->state.close(); },
  };
}

}  // namespace credits::actors
