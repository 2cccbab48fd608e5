// The router actor: finds or spawns the install actor of an id, and retires those that have been
// idle for long, or idlest when there are too many.
//
// Retiring loses no message: the router marks the install, keeps what arrives for it, and lets go
// of it only when the install reports that nothing is unacknowledged; then it spawns the install
// anew if something was kept. The router decides on idleness, not the install: it sees every
// message anyhow, so a list in order of last use replaces a timer for each install.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "actors/environment.hpp"
#include "actors/interfaces.hpp"

namespace credits::actors {

struct RouterState {
  explicit RouterState(router_actor::stateful_pointer<RouterState> actor) : self{actor} {}

  void start();
  void run(Request request);
  void report(ReportRequest request);
  void retire_all();
  void retire_idle();
  void retired(const std::string& install_id);
  caf::result<caf::ok_atom> close();

  static inline const char* name = "router";

  router_actor::stateful_pointer<RouterState> self;
  Environment* environment = nullptr;
  persister_actor persister;
  confirmer_actor confirmer;  // none: nobody else writes to the store
  loader_actor loader;
  reporter_actor reporter;
  Tuning tuning;

 private:
  struct Slot {
    install_actor install;
    std::shared_ptr<InstallStats> stats;
    caf::actor_clock::time_point last_used_at;
    std::list<const std::string*>::iterator by_use;  // valid unless retiring
    bool retiring = false;
    std::vector<Request> kept;  // what arrived while retiring
  };

  Slot& find_or_spawn(const std::string& install_id);
  void spawn_install(const std::string& install_id, Slot& slot);
  void touch(Slot& slot);
  void count(const std::string& install_id, const Slot& slot);
  void retire(Slot& slot);
  void retire_idlest();
  void finish_closing();

  std::unordered_map<std::string, Slot> slots_;
  std::list<const std::string*> by_use_;  // keys of slots_ that are not retiring, idlest first
  bool closing_ = false;
  caf::typed_response_promise<caf::ok_atom> closed_;
};

router_actor::behavior_type router(router_actor::stateful_pointer<RouterState> self,
                                   Environment* environment, persister_actor persister,
                                   confirmer_actor confirmer, loader_actor loader,
                                   reporter_actor reporter, Tuning tuning);

}  // namespace credits::actors
