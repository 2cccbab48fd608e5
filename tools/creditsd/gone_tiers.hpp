// Tells the log how many installs have a tier that a change of the quota has taken away: they are
// judged as `core`, which their relays see as fewer credits.
#pragma once

#include <future>
#include <memory>
#include <set>
#include <string>

#include "actors/environment.hpp"
#include "actors/gateway.hpp"

namespace credits::creditsd {

class GoneTiers {
 public:
  GoneTiers(const actors::Environment& environment, const actors::Gateway& gateway)
      : environment_{environment}, gateway_{gateway}, seen_{environment.quota.get()} {}

  // To be called once a second, or more often, from one thread. Returns at once: the count, which
  // may have to go through all rows, takes a thread, and 10 s at most.
  void look();

 private:
  void tell(const std::set<std::string>& tiers) const;
  std::string count(const std::string& tier, actors::SteadyTime deadline) const;

  const actors::Environment& environment_;
  const actors::Gateway& gateway_;
  std::shared_ptr<const ledger::Quota> seen_;
  std::set<std::string> gone_;  // since the start
  std::future<void> counting_;  // the last, as it uses the others
};

}  // namespace credits::creditsd
