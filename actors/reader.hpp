// The two actors that read the store: the loader for installs, the reporter for operators.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "actors/environment.hpp"
#include "actors/interfaces.hpp"

namespace credits::actors {

struct LoaderState {
  explicit LoaderState(loader_actor::stateful_pointer<LoaderState> actor) : self{actor} {}

  void load(std::string install_id, install_actor install);
  void read();
  void recall(const std::string& install_id, std::vector<ledger::ReplayKey> replay_keys,
              const install_actor& install);

  static inline const char* name = "loader";

  loader_actor::stateful_pointer<LoaderState> self;
  persistence::Store* store = nullptr;
  Environment* environment = nullptr;
  std::size_t replay_keys_known_max = 0;

 private:
  std::vector<Loaded> read_rows(std::span<const std::string> install_ids);
  Loaded failed(const persistence::StoreError& error);

  std::vector<std::string> install_ids_;
  std::vector<install_actor> installs_;  // one per id
};

loader_actor::behavior_type loader(loader_actor::stateful_pointer<LoaderState> self,
                                   persistence::Store* store, Environment* environment,
                                   std::size_t replay_keys_known_max);

reporter_actor::behavior_type reporter(reporter_actor::pointer self, persistence::Store* store,
                                       Environment* environment);

}  // namespace credits::actors
