#include "actors/install.hpp"

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
  *durable_version_ = row_.version;
  judge_stash();
  leave_if_done();
}

void InstallState::judge_stash() {
  for (Request& request : std::exchange(stash_, {})) judge_now(std::move(request));
}

void InstallState::judge_now(Request request) {
  const auto quota = environment->quota.get();
  auto [entry, answer] =
      judge(row_, request.operation, {*quota, environment->now(), environment->has_hardware});
  if (!entry && is_durable()) return request.answer->set_value(std::move(answer));
  std::optional<persistence::Mutation> mutation;
  if (entry) {
    entry->mutation_id = environment->new_mutation_id();
    mutation = {row_, *std::move(entry)};
  }
  self->send(persister, append_atom::value,
             Append{install_actor{self}, durable_version_, std::move(mutation), std::move(request),
                    std::move(answer)});
}

void InstallState::dropped(Dropped dropped) {
  if (std::exchange(phase_, Phase::fenced) != Phase::fenced) {
    self->send(persister, resume_atom::value, install_actor{self});
  }
  for (Unanswered& unanswered : dropped.unanswered) {
    if (unanswered.mutates && dropped.failure == WriteFailure::failed) {
      unanswered.request.answer->set_exception(
          std::make_exception_ptr(persistence::StoreError{dropped.reason}));
    } else {
      returned_.push_back(std::move(unanswered.request));
    }
  }
}

void InstallState::resumed() {
  stash_.insert(stash_.begin(), std::make_move_iterator(returned_.begin()),
                std::make_move_iterator(returned_.end()));
  returned_.clear();
  phase_ = Phase::cold;
  if (!stash_.empty()) return load();
  leave_if_done();
}

void InstallState::retire() {
  retiring_ = true;
  leave_if_done();
}

void InstallState::leave_if_done() {
  if (!retiring_ || phase_ == Phase::loading || phase_ == Phase::fenced) return;
  if (phase_ == Phase::live && !is_durable()) {
    return self->send(persister, drain_atom::value, install_actor{self});
  }
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
      [self](dropped_atom, Dropped& dropped) { self->state.dropped(std::move(dropped)); },
      [self](resumed_atom) { self->state.resumed(); },
      [self](drained_atom) { self->state.leave_if_done(); },
      [self](retire_atom) { self->state.retire(); },
  };
}

}  // namespace credits::actors
