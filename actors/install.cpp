#include "actors/install.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace credits::actors {

void InstallState::run(Request request) {
  if (phase_ == Phase::live) return judge_now(std::move(request));
  stash_.push_back(std::move(request));
  if (phase_ == Phase::cold) load();
}

void InstallState::load() {
  phase_ = Phase::loading;
  self->send(loader, load_atom::value, install_id, install_actor{self});
}

void InstallState::loaded(Loaded result) {
  if (result.error) {
    phase_ = Phase::cold;
    for (Request& request : std::exchange(stash_, {})) {
      request.answer->set_exception(
          std::make_exception_ptr(persistence::StoreError{*result.error}));
    }
    return leave_if_done();
  }
  phase_ = Phase::live;
  row_ = result.row ? *std::move(result.row) : ledger::blank_row(install_id, environment->now());
  durable_version_ = row_.version;
  judge_stash();
  leave_if_done();
}

void InstallState::judge_stash() {
  for (Request& request : std::exchange(stash_, {})) judge_now(std::move(request));
}

void InstallState::judge_now(Request request) {
  const auto quota = environment->quota.get();
  Verdict verdict =
      judge(row_, request.operation, {*quota, environment->now(), environment->has_hardware});
  const bool mutates = verdict.entry.has_value();
  if (!mutates && row_.version == durable_version_) {
    return request.answer->set_value(std::move(verdict.answer));
  }
  if (mutates) {
    verdict.entry->mutation_id = environment->new_mutation_id();
    self->send(persister, append_atom::value,
               Append{install_actor{self}, epoch_, {row_, *std::move(verdict.entry)}});
  }
  waiting_.push_back({std::move(request), std::move(verdict.answer), row_.version, mutates});
}

void InstallState::stored(Epoch epoch, std::uint64_t version) {
  if (epoch != epoch_) return;
  durable_version_ = version;
  const auto first_undurable =
      std::find_if(waiting_.begin(), waiting_.end(),
                   [version](const Waiting& waiting) { return waiting.version > version; });
  for (auto waiting = waiting_.begin(); waiting != first_undurable; ++waiting) {
    waiting->request.answer->set_value(std::move(waiting->answer));
  }
  waiting_.erase(waiting_.begin(), first_undurable);
  leave_if_done();
}

void InstallState::dropped(Epoch epoch, WriteFailure failure, const std::string& reason) {
  if (epoch != epoch_) return;
  ++epoch_;
  self->send(persister, resume_atom::value, self->id());
  std::vector<Request> again;
  for (Waiting& waiting : std::exchange(waiting_, {})) {
    if (waiting.mutates && failure == WriteFailure::failed) {
      waiting.request.answer->set_exception(
          std::make_exception_ptr(persistence::StoreError{reason}));
    } else {
      again.push_back(std::move(waiting.request));
    }
  }
  stash_.insert(stash_.begin(), std::make_move_iterator(again.begin()),
                std::make_move_iterator(again.end()));
  phase_ = Phase::cold;
  if (!stash_.empty()) return load();
  leave_if_done();
}

void InstallState::retire() {
  retiring_ = true;
  leave_if_done();
}

void InstallState::leave_if_done() {
  if (!retiring_ || phase_ == Phase::loading || !waiting_.empty() || !stash_.empty()) return;
  self->send(router, retired_atom::value, install_id);
  self->quit();
}

install_actor::behavior_type install(install_actor::stateful_pointer<InstallState> self,
                                     Environment* environment, router_actor router,
                                     persister_actor persister, loader_actor loader,
                                     std::string install_id) {
  InstallState& state = self->state;
  state.environment = environment;
  state.router = std::move(router);
  state.persister = std::move(persister);
  state.loader = std::move(loader);
  state.install_id = std::move(install_id);
  return {
      [self](run_atom, Request& request) { self->state.run(std::move(request)); },
      [self](loaded_atom, Loaded& result) { self->state.loaded(std::move(result)); },
      [self](stored_atom, Epoch epoch, std::uint64_t version) {
        self->state.stored(epoch, version);
      },
      [self](dropped_atom, Epoch epoch, WriteFailure failure, const std::string& reason) {
        self->state.dropped(epoch, failure, reason);
      },
      [self](retire_atom) { self->state.retire(); },
  };
}

}  // namespace credits::actors
