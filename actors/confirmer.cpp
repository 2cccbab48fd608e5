#include "actors/confirmer.hpp"

#include <utility>

#include "actors/base/assert.hpp"
#include "actors/handlers.hpp"

namespace credits::actors {

namespace {

// For each read, whether its row is the newest; false also if the store cannot determine it. Throws
// StoreError.
std::vector<bool> are_current(persistence::Store& store, const std::vector<Read>& reads) {
  std::vector<persistence::Seen> seen;
  seen.reserve(reads.size());
  for (const Read& read : reads) seen.push_back({read.request.operation.install_id, read.stamp});
  auto current = store.are_current(seen);
  CREDITS_ENSURES(current.size() == reads.size());
  return current;
}

}  // namespace

void confirm(persistence::Store& store, std::vector<Read> reads,
             const std::function<void(Unconfirmed)>& hand_on) {
  std::vector<bool> current(reads.size(), false);
  std::string failure;
  try {
    current = are_current(store, reads);
  } catch (const persistence::StoreError& error) {
    failure = error.what();
  }
  for (std::size_t i = 0; i < reads.size(); ++i) {
    current[i] ? reads[i].request.complete() : hand_on({std::move(reads[i]), failure});
  }
}

void ConfirmerState::add(Read read) {
  if (reads_.empty()) self->send(self, confirm_atom::value);
  reads_.push_back(std::move(read));
}

void ConfirmerState::confirm() {
  auto reads = std::exchange(reads_, {});
  if (reads.empty()) return;
  actors::confirm(*store, std::move(reads), [this](Unconfirmed unconfirmed) {
    self->send(persister, unconfirmed_atom::value, std::move(unconfirmed));
  });
}

void ConfirmerState::resume(const install_actor& install) {
  confirm();
  self->send(persister, resume_atom::value, install);
}

void ConfirmerState::drain(const install_actor& install) {
  confirm();
  self->send(persister, drain_atom::value, install);
}

confirmer_actor::behavior_type confirmer(confirmer_actor::stateful_pointer<ConfirmerState> self,
                                         persistence::Store* store, persister_actor persister) {
  self->state.store = store;
  self->state.persister = std::move(persister);
  return behavior_of(
      self, ConfirmerState::name,
      [self](read_atom, Read& read) { self->state.add(std::move(read)); },
      [self](confirm_atom) { self->state.confirm(); },
      [self](resume_atom, const install_actor& install) { self->state.resume(install); },
      [self](drain_atom, const install_actor& install) { self->state.drain(install); },
      [self](close_atom) {
        self->state.confirm();
        self->quit();
        return caf::ok_atom::value;
      });
}

}  // namespace credits::actors
