#include "actors/install.hpp"

#include <algorithm>
#include <exception>
#include <iterator>
#include <numeric>
#include <utility>

#include "actors/base/assert.hpp"
#include "actors/handlers.hpp"

namespace credits::actors {

namespace {

// Each mutation on its way to the disk carries a row with all its reservations; this bounds their
// sum.
constexpr std::uint64_t holds_on_their_way_max = 8'192;

// Whether a store that returned `loaded` has lost something it had confirmed by `durable`.
bool has_gone_back(const persistence::Stamp& durable, const persistence::Stamp& loaded) {
  return loaded.version < durable.version ||
         (loaded.version == durable.version && loaded != durable);
}

}  // namespace

void InstallState::run(Request request) {
  add_one(stats->handled);
  if (phase_ == Phase::live && judge_if_possible(request)) return;
  stash_.push_back(std::move(request));
  if (phase_ == Phase::cold) load();
  if (phase_ == Phase::live) recall();
}

void InstallState::load() {
  CREDITS_EXPECTS(phase_ == Phase::cold && !stash_.empty());
  phase_ = Phase::loading;
  self->send(loader, load_atom::value, install_id, install_actor{self});
}

void InstallState::loaded(Loaded result) {
  CREDITS_EXPECTS(phase_ == Phase::loading);
  if (result.failure) {
    phase_ = Phase::cold;
    fail_stash(*result.failure);
    return leave_if_done();
  }
  phase_ = Phase::live;
  auto& [row, stamp] = result.stored;
  row_ = row ? *std::move(row) : ledger::blank_row(install_id, environment->now());
  CREDITS_EXPECTS(row_.version == stamp.version);
  if (has_gone_back(stats->durable_stamp, stamp)) report_loss(stamp);
  stats->version = row_.version;
  stats->set_durable(stamp);
  count_holds();
  memory_.start(std::move(result.replay_keys), replay_keys_known_max);
  judge_stash();
  leave_if_done();
}

void InstallState::report_loss(const persistence::Stamp& loaded) {
  ++environment->figures.went_back;
  const std::uint64_t known = stats->durable_stamp.version;
  environment->report({"database_went_back",
                       "the database went back: install \"" + install_id + "\" had version " +
                           std::to_string(known) + ", and now has " +
                           (loaded.version == known ? "another history"
                                                    : "version " + std::to_string(loaded.version)) +
                           "; writes acknowledged since then are lost"});
}

void InstallState::recall() {
  memory_.forget_recalled();  // so that the first request gets all its entries at once
  std::vector<ledger::ReplayKey> unknown;
  for (const Request& request : stash_) {
    for (ledger::ReplayKey& needed : replay_keys_needed(row_, request.operation)) {
      if (!memory_.knows(needed)) unknown.push_back(std::move(needed));
    }
  }
  CREDITS_ENSURES(!unknown.empty());
  phase_ = Phase::recalling;
  self->send(loader, recall_atom::value, install_id, std::move(unknown), install_actor{self});
}

void InstallState::recalled(Recalled result) {
  if (phase_ != Phase::recalling) return;  // a write has failed in the meantime
  phase_ = Phase::live;
  if (result.failure) {
    fail_stash(*result.failure);
  } else {
    memory_.learn(std::move(result.replay_keys), std::move(result.entries));
    judge_stash();
  }
  leave_if_done();
}

void InstallState::fail_stash(const ReadFailure& failure) {
  for (const Request& request : std::exchange(stash_, {})) request.fail(failure.answer());
}

void InstallState::judge_stash() {
  auto next = stash_.begin();
  while (phase_ == Phase::live && next != stash_.end() && judge_if_possible(*next)) ++next;
  stash_.erase(stash_.begin(), next);
  if (phase_ == Phase::live && !stash_.empty()) return recall();
  memory_.forget_recalled();
}

bool InstallState::judge_if_possible(Request& request) {
  if (has_much_on_its_way()) {
    wait_until_drained(Phase::draining);
    return false;
  }
  memory_.forget_stored(stats->durable_version);
  const auto replay_keys = replay_keys_needed(row_, request.operation);
  const bool all_known =
      std::all_of(replay_keys.begin(), replay_keys.end(),
                  [this](const ledger::ReplayKey& needed) { return memory_.knows(needed); });
  if (all_known) judge_now(std::move(request), memory_.look_up(replay_keys));
  return all_known;
}

void InstallState::judge_now(Request request, const Remembered& remembered) {
  if (std::chrono::steady_clock::now() > request.deadline) {
    return request.fail(Unavailable{"the deadline passed before the request was judged"});
  }
  if (request.previous_place && request.answers->has_failed(*request.previous_place)) {
    return request.fail(Unavailable{"not run: an earlier operation on the same install failed"});
  }
  const std::uint64_t version = row_.version;
  Verdict verdict;
  try {
    verdict = judge_on_row(request.operation, remembered);
  } catch (const std::exception& error) {
    environment->report({"judging_failed", "install \"" + install_id + "\": " + error.what()});
    request.fail(Unavailable{"the operation could not be judged"});
    return wait_until_drained(Phase::spoiled);
  }
  CREDITS_ENSURES(row_.version == version + verdict.entries.size());
  answer(std::move(request), std::move(verdict));
}

Verdict InstallState::judge_on_row(const Operation& operation, const Remembered& remembered) {
  const auto quota = environment->quota.get();
  const ledger::Time now = environment->now();
  environment->aging.saw(now, environment->steady_now());
  stats->last_message_at = now;
  return judge(row_, operation, remembered,
               {*quota, now, environment->has_hardware, environment->new_mutation_id(),
                environment->record});
}

void InstallState::answer(Request request, Verdict verdict) {
  auto& [entries, answer] = verdict;
  request.put(std::move(answer));
  request.order = ++judged_;
  if (entries.empty() && confirmer) awaits_confirmation_ = true;
  if (entries.empty() && is_durable()) {
    return confirmer ? hand_to_confirmer(std::move(request)) : request.complete();
  }
  std::optional<persistence::Mutation> mutation;
  if (!entries.empty()) {
    count_holds();
    for (const ledger::Entry& entry : entries) memory_.add(entry);
    mutation.emplace(persistence::Mutation{row_, std::move(entries)});
    stats->version = row_.version;
    ++environment->figures.pending_mutations;
  }
  self->send(persister, append_atom::value,
             Append{install_actor{self}, stats, std::move(mutation), std::move(request),
                    std::chrono::steady_clock::now()});
}

void InstallState::count_holds() {
  const auto count = static_cast<std::int64_t>(row_.reservations.size());
  const std::int64_t credits =
      std::accumulate(row_.reservations.begin(), row_.reservations.end(), std::int64_t{0},
                      [](std::int64_t sum, const auto& each) { return sum + each.credits; });
  CREDITS_EXPECTS(credits >= 0);
  Figures& figures = environment->figures;
  if (count != reservations_counted_) {
    figures.reservations += count - std::exchange(reservations_counted_, count);
  }
  if (credits != credits_counted_) {
    figures.credits_held += credits - std::exchange(credits_counted_, credits);
  }
}

void InstallState::hand_to_confirmer(Request request) {
  CREDITS_EXPECTS(is_durable());
  self->send(confirmer, read_atom::value,
             Read{install_actor{self}, stats, std::move(request), stats->durable_stamp});
}

bool InstallState::has_much_on_its_way() const {
  const std::uint64_t durable = stats->durable_version;
  CREDITS_EXPECTS(durable <= row_.version);
  const std::uint64_t rows = row_.version - durable;
  return rows * (1 + row_.reservations.size()) > holds_on_their_way_max;
}

// Over a shared store the message goes through the confirmer, behind this install's reads: nothing
// of this install is left anywhere when `drained` arrives.
void InstallState::wait_until_drained(Phase phase) {
  phase_ = phase;
  confirmer ? self->send(confirmer, drain_atom::value, install_actor{self})
            : self->send(persister, drain_atom::value, install_actor{self});
}

void InstallState::drained() {
  if (phase_ == Phase::draining) {
    phase_ = Phase::live;
    judge_stash();
  } else if (phase_ == Phase::spoiled) {
    phase_ = Phase::cold;
    if (!stash_.empty()) return load();
  }
  leave_if_done();
}

void InstallState::dropped(Dropped dropped) {
  CREDITS_EXPECTS(phase_ != Phase::cold && phase_ != Phase::loading);
  stats->version = stats->durable_version.load();
  if (std::exchange(phase_, Phase::fenced) != Phase::fenced) {
    confirmer ? self->send(confirmer, resume_atom::value, install_actor{self})
              : self->send(persister, resume_atom::value, install_actor{self});
  }
  for (Unanswered& unanswered : dropped.unanswered) {
    if (!unanswered.mutates || dropped.failure == WriteFailure::conflict) {
      returned_.push_back(std::move(unanswered.request));
    } else if (dropped.failure == WriteFailure::damaged) {
      unanswered.request.fail(Damaged{dropped.reason});
    } else {
      unanswered.request.fail(Unavailable{dropped.reason});
    }
  }
}

void InstallState::resumed() {
  CREDITS_EXPECTS(phase_ == Phase::fenced);
  std::sort(returned_.begin(), returned_.end(),
            [](const Request& a, const Request& b) { return a.order < b.order; });
  stash_.insert(stash_.begin(), std::make_move_iterator(returned_.begin()),
                std::make_move_iterator(returned_.end()));
  returned_.clear();
  awaits_confirmation_ = false;
  phase_ = Phase::cold;
  if (!stash_.empty()) return load();
  leave_if_done();
}

void InstallState::retire() {
  retiring_ = true;
  leave_if_done();
}

void InstallState::leave_if_done() {
  if (!retiring_ || (phase_ != Phase::live && phase_ != Phase::cold)) return;
  if (phase_ == Phase::live && std::exchange(awaits_confirmation_, false)) {
    return self->send(confirmer, drain_atom::value, install_actor{self});
  }
  if (phase_ == Phase::live && !is_durable()) {
    return self->send(persister, drain_atom::value, install_actor{self});
  }
  CREDITS_ENSURES(stash_.empty() && returned_.empty());  // no request is lost
  row_.reservations.clear();
  count_holds();
  self->send(router, retired_atom::value, install_id);
  self->quit();
}

install_actor::behavior_type install(install_actor::stateful_pointer<InstallState> self,
                                     Environment* environment, router_actor router,
                                     persister_actor persister, confirmer_actor confirmer,
                                     loader_actor loader, std::string install_id,
                                     std::shared_ptr<InstallStats> stats,
                                     std::size_t replay_keys_known_max) {
  InstallState& state = self->state;
  state.environment = environment;
  state.router = std::move(router);
  state.persister = std::move(persister);
  state.confirmer = std::move(confirmer);
  state.loader = std::move(loader);
  state.install_id = std::move(install_id);
  state.stats = std::move(stats);
  state.replay_keys_known_max = replay_keys_known_max;
  return behavior_of(
      self, InstallState::name,
      [self](run_atom, Request& request) { self->state.run(std::move(request)); },
      [self](loaded_atom, Loaded& result) { self->state.loaded(std::move(result)); },
      [self](recalled_atom, Recalled& result) { self->state.recalled(std::move(result)); },
      [self](dropped_atom, Dropped& dropped) { self->state.dropped(std::move(dropped)); },
      [self](resumed_atom) { self->state.resumed(); },
      [self](drained_atom) { self->state.drained(); },
      [self](retire_atom) { self->state.retire(); });
}

}  // namespace credits::actors
