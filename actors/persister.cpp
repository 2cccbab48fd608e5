#include "actors/persister.hpp"

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <utility>

#include "actors/base/assert.hpp"
#include "actors/confirmer.hpp"
#include "actors/handlers.hpp"

namespace credits::actors {

using namespace std::chrono_literals;

namespace {

// How often the log repeats trouble that persists.
constexpr std::chrono::seconds reminder_interval{60};

// Clocks this close count as equal. The alert CreditsdClockBehind has the same threshold.
constexpr std::chrono::seconds clock_tolerance{30};

std::string reason_of(WriteFailure failure) {
  switch (failure) {
    case WriteFailure::conflict:
      return "another writer wrote the install first";
    case WriteFailure::busy:
      return "another transaction holds the install's row; nothing was done";
    case WriteFailure::damaged:
      return "the install's stored data is damaged; nothing was done";
    case WriteFailure::failed:
      break;
  }
  return "a write failed";
}

// Nullopt if the mutation was stored.
std::optional<WriteFailure> failure_of(persistence::Outcome outcome) {
  switch (outcome) {
    case persistence::Outcome::stored:
      return std::nullopt;
    case persistence::Outcome::unknown:
      return WriteFailure::failed;
    case persistence::Outcome::conflict:
      return WriteFailure::conflict;
    case persistence::Outcome::busy:
      return WriteFailure::busy;
    case persistence::Outcome::damaged:
      return WriteFailure::damaged;
  }
  throw std::logic_error{"an unknown outcome"};
}

}  // namespace

void PersisterState::append(Append append) {
  const bool mutates = append.mutation.has_value();
  if (const auto fenced = fenced_.find(append.install->id()); fenced != fenced_.end()) {
    const auto& [failure, reason] = fenced->second;
    if (mutates) count_done(1);
    return self->send(append.install, dropped_atom::value,
                      Dropped{failure, reason, {{std::move(append.request), mutates}}});
  }
  // The install has no mutation in the batch, so the read has nothing left to wait for.
  if (!mutates && !is_writer(*append.stats)) return complete_late(std::move(append));
  const std::size_t writer = writer_of(append);
  waiting_.push_back({writer, mutates, std::move(append.request)});
  if (!mutates) return;
  if (batch_.empty()) environment->figures.oldest_pending.begin(append.judged_at);
  add_to_batch(*std::move(append.mutation), writers_[writer]);
  CREDITS_ENSURES(batch_.size() <= waiting_.size());
  if (batch_.size() >= tuning.batch_mutations_max) return write();
  write_soon();
}

// The write that the read waited for may have been stored before the read was judged, and another
// node may have written since.
void PersisterState::complete_late(Append append) {
  if (!environment->store_is_shared) return append.request.complete();
  const persistence::Stamp stamp = append.stats->durable_stamp;
  late_reads_.push_back(
      {std::move(append.install), std::move(append.stats), std::move(append.request), stamp});
  write_soon();
}

void PersisterState::confirm_late_reads() {
  if (late_reads_.empty()) return;
  confirm(*store, std::exchange(late_reads_, {}),
          [this](Unconfirmed late) { unconfirmed(std::move(late)); });
}

void PersisterState::unconfirmed(Unconfirmed unconfirmed) {
  auto& [install, stats, request, stamp] = unconfirmed.read;
  const bool is_fenced = fenced_.contains(install->id());
  // The install's own write replaced this version, which was therefore the newest until then.
  if (stats->durable_version > stamp.version) return request.complete();
  if (!is_fenced && is_writer(*stats)) {
    // The same holds if the batch, which has a write of this install, is stored.
    CREDITS_EXPECTS(writers_[stats->place_in_batch].install == install);
    return waiting_.push_back({stats->place_in_batch, false, std::move(request)});
  }
  const auto failure = unconfirmed.failure.empty() ? WriteFailure::conflict : WriteFailure::failed;
  const auto reason =
      unconfirmed.failure.empty() ? reason_of(failure) : std::move(unconfirmed.failure);
  if (!is_fenced) {
    if (failure == WriteFailure::conflict) ++environment->figures.conflicts;
    fenced_[install->id()] = {failure, reason};
  }
  self->send(install, dropped_atom::value, Dropped{failure, reason, {{std::move(request), false}}});
}

void PersisterState::write_soon() {
  if (std::exchange(write_is_due_, true)) return;
  self->send(self, write_atom::value);
}

std::size_t PersisterState::writer_of(const Append& append) {
  InstallStats& stats = *append.stats;
  if (!is_writer(stats)) {
    stats.batch = batch_number_;
    stats.place_in_batch = writers_.size();
    writers_.push_back({append.install, append.stats, stats.durable_stamp.version});
  }
  CREDITS_ENSURES(writers_[stats.place_in_batch].install == append.install);
  return stats.place_in_batch;
}

void PersisterState::add_to_batch(persistence::Mutation mutation, Writer& writer) {
  persistence::expect_gapless(mutation, writer.version);
  writer.version = mutation.after.version;
  mutation.follows = writer.stats->durable_stamp;
  batch_.push_back(std::move(mutation));
}

void PersisterState::import(ImportRequest request) {
  write();
  const SteadyTime began = std::chrono::steady_clock::now();
  if (began > request.deadline) return;  // nobody waits for it any more
  environment->figures.oldest_pending.begin(began);
  try {
    const bool was_empty = store->import(request.mutations);
    if (was_empty) {
      write_worked();
      count_write(began, request.mutations.size());
      count_stored(request.mutations,
                   std::vector(request.mutations.size(),
                               persistence::Appended{persistence::Outcome::stored}));
      forget(request.routers);
    }
    request.imported->set_value({was_empty, store->installs()});
  } catch (const persistence::StoreError& error) {
    write_failed(error);
    forget(request.routers);
    request.imported->set_exception(std::current_exception());
  }
  environment->figures.oldest_pending.end();
}

// An install looked up before the import has an actor that believes it does not exist.
void PersisterState::forget(const std::vector<router_actor>& routers) {
  for (const router_actor& router : routers) self->send(router, forget_atom::value);
}

void PersisterState::write() {
  write_is_due_ = false;
  confirm_late_reads();
  if (waiting_.empty()) return;
  if (const auto appended = store_batch()) {
    batch_is_done_with();
    acknowledge(*appended);
  }
  clear_batch();
}

std::optional<std::vector<persistence::Appended>> PersisterState::store_batch() {
  try {
    return store_and_count(batch_);
  } catch (const persistence::StoreError& error) {
    write_failed(error);
    batch_is_done_with();
    give_all_back(error.what());
    return std::nullopt;
  }
}

// Notices that the store has become unreachable or has recovered, even when nothing is written.
void PersisterState::probe() {
  StoreHealth& health = environment->store_health;
  auto part = StoreHealth::Part::reach;
  try {
    store->ping();
    report_recovery(health.worked(part));
    part = StoreHealth::Part::write;
    if (health.is_failing(part)) {
      store->probe_write();
      report_recovery(health.worked(part));
    }
  } catch (const persistence::StoreError& error) {
    report_failure(part, error);
  }
  remind();
  watch_clock();
  // Only now, so that writes get their turn between the probes of a slow store.
  self->delayed_send(self, tuning.probe_interval, probe_atom::value);
}

// Updates the figures and the store's health before any request is completed.
std::vector<persistence::Appended> PersisterState::store_and_count(
    const std::vector<persistence::Mutation>& mutations) {
  const SteadyTime began = std::chrono::steady_clock::now();
  auto appended = store->append(mutations);
  CREDITS_ENSURES(appended.size() == mutations.size());
  count_write(began, mutations.size());
  using persistence::Outcome;
  const auto has_any = [&appended](Outcome outcome) {
    return std::any_of(appended.begin(), appended.end(),
                       [outcome](const auto& each) { return each.outcome == outcome; });
  };
  if (has_any(Outcome::unknown)) {
    write_failed(persistence::StoreError{persistence::StoreErrorKind::unavailable,
                                         "the outcome of part of a batch is unknown"});
  } else if (has_any(Outcome::stored)) {
    write_worked();
  }
  count_stored(mutations, appended);
  return appended;
}

void PersisterState::write_failed(const persistence::StoreError& error) {
  ++environment->figures.write_failures;
  report_failure(StoreHealth::Part::write, error);
}

void PersisterState::report_failure(StoreHealth::Part part, const persistence::StoreError& error) {
  StoreHealth& health = environment->store_health;
  const bool is_for_good = error.kind() == persistence::StoreErrorKind::broken;
  const bool is_news =
      is_for_good ? health.failed_for_good(error.what()) : health.failed(part, error.what());
  if (!is_news) return;
  told_of_trouble_at_ = std::chrono::steady_clock::now();
  environment->report({"write_failed", std::string{"the store takes no writes: "} + error.what()});
}

void PersisterState::report_recovery(bool has_recovered) {
  if (!has_recovered || environment->store_health.trouble()) return;
  environment->report({"store_recovered", "the store takes writes again", Severity::info});
}

void PersisterState::remind() {
  const auto trouble = environment->store_health.trouble();
  const SteadyTime now = std::chrono::steady_clock::now();
  if (trouble && now - told_of_trouble_at_ < reminder_interval) return;
  told_of_trouble_at_ = now;
  if (!trouble) return;
  environment->report({"write_failed", "the store still takes no writes: " + *trouble});
}

void PersisterState::watch_clock() {
  const auto behind = environment->figures.newest_time.ahead_of(environment->now());
  const bool is_behind = behind > clock_tolerance;
  const SteadyTime now = environment->steady_now();
  if (is_behind && (!told_of_clock_at_ || now - *told_of_clock_at_ >= reminder_interval)) {
    told_of_clock_at_ = now;
    environment->report(
        {"clock_behind", "the clock is " + std::to_string(behind / 1s) +
                             " s behind the ledger: installs stay in the month that "
                             "they have reached; set the clock, or wait"});
  } else if (!is_behind && std::exchange(told_of_clock_at_, std::nullopt)) {
    environment->report(
        {"clock_recovered", "the clock is no longer behind the ledger", Severity::info});
  }
}

void PersisterState::write_worked() {
  StoreHealth& health = environment->store_health;
  const bool was_out_of_reach = health.worked(StoreHealth::Part::reach);
  report_recovery(health.worked(StoreHealth::Part::write) || was_out_of_reach);
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
                                  const std::vector<persistence::Appended>& appended) {
  std::uint64_t entries = 0;
  ledger::Time newest{};
  environment->figures.entries.change([&](StoredEntries& stored) {
    for (std::size_t i = 0; i < mutations.size(); ++i) {
      if (appended[i].outcome != persistence::Outcome::stored) continue;
      for (const ledger::Entry& entry : mutations[i].entries) stored.add(entry);
      newest = std::max(newest, mutations[i].entries.back().at);
      entries += mutations[i].entries.size();
    }
  });
  environment->figures.newest_time.raise(newest);
  if (entries > 0) self->send(snapshotter, stored_atom::value, entries);
}

void PersisterState::count_done(std::size_t mutations) {
  const auto done = static_cast<std::int64_t>(mutations);
  const std::int64_t pending = environment->figures.pending_mutations.fetch_sub(done);
  CREDITS_EXPECTS(pending >= done);
}

void PersisterState::batch_is_done_with() {
  count_done(batch_.size());
  environment->figures.oldest_pending.end();
}

void PersisterState::acknowledge(const std::vector<persistence::Appended>& appended) {
  std::size_t next_mutation = 0;
  for (Waiting& waiting : waiting_) {
    Writer& writer = writers_[waiting.writer];
    if (waiting.mutates) {
      const std::size_t mutation = next_mutation++;
      CREDITS_EXPECTS(mutation < batch_.size());
      const auto& [outcome, stamp] = appended[mutation];
      if (!writer.failure) writer.failure = failure_of(outcome);
      if (!writer.failure) {
        CREDITS_ENSURES(stamp.version == batch_[mutation].after.version);
        writer.stats->set_durable(stamp);
      }
    }
    if (writer.failure) {
      writer.unanswered.push_back({std::move(waiting.request), waiting.mutates});
    } else {
      waiting.request.complete();
    }
  }
  CREDITS_ENSURES(next_mutation == batch_.size());
  for (Writer& writer : writers_) {
    if (!writer.failure) continue;
    count_not_stored(*writer.failure);
    fence(writer, *writer.failure, reason_of(*writer.failure));
  }
}

void PersisterState::count_not_stored(WriteFailure failure) {
  Figures& figures = environment->figures;
  if (failure == WriteFailure::conflict) ++figures.conflicts;
  if (failure == WriteFailure::busy) ++figures.busy_installs;
  if (failure == WriteFailure::damaged) ++figures.damaged_installs;
}

void PersisterState::give_all_back(const std::string& reason) {
  for (Waiting& waiting : waiting_) {
    writers_[waiting.writer].unanswered.push_back({std::move(waiting.request), waiting.mutates});
  }
  for (Writer& writer : writers_) fence(writer, WriteFailure::failed, reason);
}

void PersisterState::fence(Writer& writer, WriteFailure failure, const std::string& reason) {
  fenced_[writer.install->id()] = {failure, reason};
  self->send(writer.install, dropped_atom::value,
             Dropped{failure, reason, std::move(writer.unanswered)});
}

void PersisterState::clear_batch() {
  for (const Writer& writer : writers_) {
    if (writer.wants_drained) self->send(writer.install, drained_atom::value);
  }
  batch_.clear();
  waiting_.clear();
  writers_.clear();
  ++batch_number_;
}

void PersisterState::resume(const install_actor& install) {
  confirm_late_reads();
  const bool was_fenced = fenced_.erase(install->id()) == 1;
  CREDITS_EXPECTS(was_fenced);
  self->send(install, resumed_atom::value);
}

void PersisterState::drain(const install_actor& install) {
  confirm_late_reads();
  const auto found =
      std::find_if(writers_.begin(), writers_.end(),
                   [&install](const Writer& known) { return known.install == install; });
  if (found != writers_.end()) {
    found->wants_drained = true;
  } else {
    self->send(install, drained_atom::value);
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
  state.watch_clock();
  self->delayed_send(self, tuning.probe_interval, probe_atom::value);
  return behavior_of(
      self, PersisterState::name,
      [self](append_atom, Append& append) { self->state.append(std::move(append)); },
      [self](unconfirmed_atom, Unconfirmed& unconfirmed) {
        self->state.unconfirmed(std::move(unconfirmed));
      },
      [self](import_atom, ImportRequest& request) { self->state.import(std::move(request)); },
      [self](write_atom) { self->state.write(); }, [self](probe_atom) { self->state.probe(); },
      [self](resume_atom, const install_actor& install) { self->state.resume(install); },
      [self](drain_atom, const install_actor& install) { self->state.drain(install); },
      [self](close_atom) { return self->state.close(); });
}

}  // namespace credits::actors
