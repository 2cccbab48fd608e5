// Logs how many installs have a tier that a quota change removed: they are judged as `core`, which
// their relays see as fewer credits.
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

  // Call at least once a second, always from the same thread. Returns at once: the count, which may
  // have to read all rows, runs on its own thread for at most 10 s.
  void look();

 private:
  void report(const std::set<std::string>& tiers) const;
  std::string count(const std::string& tier, actors::SteadyTime deadline) const;

  const actors::Environment& environment_;
  const actors::Gateway& gateway_;
  std::shared_ptr<const ledger::Quota> seen_;
  std::set<std::string> gone_;  // since the start
  std::future<void> counting_;  // last, because it uses the others
};

}  // namespace credits::creditsd
