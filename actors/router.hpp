// The router actor: finds or spawns the install actor of an id. It retires installs that have been
// idle for long, and the idlest when there are too many.
//
// Retiring loses no message. The router marks the install and keeps the messages that arrive for
// it, and drops the actor only when the install reports that it has answered everything; if
// messages were kept, it then spawns the install again. The router, not the install, decides what
// is idle: it sees every message anyway, so one list in order of last use replaces a timer for each
// install.
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
  confirmer_actor confirmer;  // none: the store is not shared
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
    std::vector<Request> kept;  // requests that arrived while retiring
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
