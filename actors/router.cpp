#include "actors/router.hpp"

#include <utility>

#include "actors/base/assert.hpp"
#include "actors/handlers.hpp"
#include "actors/install.hpp"

namespace credits::actors {

void RouterState::start() {
  self->delayed_send(self, tuning.passivation_check_interval, tick_atom::value);
}

void RouterState::run(Request request) {
  Slot& slot = find_or_spawn(request.operation.install_id);
  if (slot.retiring) {
    slot.kept.push_back(std::move(request));
    return;
  }
  touch(slot);
  count(request.operation.install_id, slot);
  self->send(slot.install, run_atom::value, std::move(request));
}

RouterState::Slot& RouterState::find_or_spawn(const std::string& install_id) {
  const auto [found, is_new] = slots_.try_emplace(install_id);
  Slot& slot = found->second;
  if (is_new) {
    spawn_install(install_id, slot);
    slot.by_use = by_use_.insert(by_use_.end(), &found->first);
    if (by_use_.size() > tuning.live_installs_max) retire_idlest();
  }
  return slot;
}

void RouterState::spawn_install(const std::string& install_id, Slot& slot) {
  slot.stats = std::make_shared<InstallStats>(environment->now());
  slot.install = self->spawn(install, environment, router_actor{self}, persister, confirmer, loader,
                             install_id, slot.stats, tuning.replay_keys_known_max);
  ++environment->figures.spawned;
}

void RouterState::touch(Slot& slot) {
  slot.last_used_at = self->clock().now();
  by_use_.splice(by_use_.end(), by_use_, slot.by_use);
}

void RouterState::count(const std::string& install_id, const Slot& slot) {
  Figures& figures = environment->figures;
  add_one(slot.stats->received);
  figures.mailbox_depth.at(slot.last_used_at).raise(slot.stats->waiting());
  figures.hottest.received(install_id, slot.stats);
}

void RouterState::report(ReportRequest request) {
  const auto found = slots_.find(request.install_id);
  if (found != slots_.end()) request.stats = found->second.stats;
  self->send(reporter, report_atom::value, std::move(request));
}

void RouterState::retire(Slot& slot) {
  CREDITS_EXPECTS(!slot.retiring);
  by_use_.erase(slot.by_use);
  slot.retiring = true;
  self->send(slot.install, retire_atom::value);
}

void RouterState::retire_idlest() { retire(slots_.at(*by_use_.front())); }

void RouterState::retire_idle() {
  if (closing_) return;
  const auto idle_since = self->clock().now() - tuning.passivate_after;
  while (!by_use_.empty() && slots_.at(*by_use_.front()).last_used_at < idle_since) {
    retire_idlest();
  }
  start();
}

void RouterState::retire_all() {
  while (!by_use_.empty()) retire_idlest();
}

void RouterState::retired(const std::string& install_id) {
  const auto found = slots_.find(install_id);
  CREDITS_EXPECTS(found != slots_.end() && found->second.retiring);
  std::vector<Request> kept = std::move(found->second.kept);
  environment->figures.hottest.ended(*found->second.stats);
  ++environment->figures.passivated;
  slots_.erase(found);
  for (Request& request : kept) run(std::move(request));
  finish_closing();
}

caf::result<caf::ok_atom> RouterState::close() {
  closing_ = true;
  closed_ = self->make_response_promise<caf::ok_atom>();
  retire_all();
  finish_closing();
  return closed_;
}

void RouterState::finish_closing() {
  if (!closing_) return;
  retire_all();
  if (!slots_.empty()) return;
  CREDITS_ENSURES(by_use_.empty());
  closed_.deliver(caf::ok_atom::value);
  self->quit();
}

router_actor::behavior_type router(router_actor::stateful_pointer<RouterState> self,
                                   Environment* environment, persister_actor persister,
                                   confirmer_actor confirmer, loader_actor loader,
                                   reporter_actor reporter, Tuning tuning) {
  RouterState& state = self->state;
  state.environment = environment;
  state.persister = std::move(persister);
  state.confirmer = std::move(confirmer);
  state.loader = std::move(loader);
  state.reporter = std::move(reporter);
  state.tuning = tuning;
  state.start();
  return behavior_of(
      self, RouterState::name,
      [self](run_atom, Request& request) { self->state.run(std::move(request)); },
      [self](run_atom, std::vector<Request>& requests) {
        for (Request& request : requests) self->state.run(std::move(request));
      },
      [self](report_atom, ReportRequest& request) { self->state.report(std::move(request)); },
      [self](forget_atom) { self->state.retire_all(); },
      [self](tick_atom) { self->state.retire_idle(); },
      [self](retired_atom, const std::string& install_id) { self->state.retired(install_id); },
      [self](close_atom) { return self->state.close(); });
}

}  // namespace credits::actors
