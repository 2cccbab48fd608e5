#include "tools/creditsd/gone_tiers.hpp"

#include <chrono>
#include <exception>
#include <system_error>
#include <utility>
#include <vector>

#include "tools/creditsd/log.hpp"

namespace credits::creditsd {

namespace {

constexpr std::size_t counted_max = 1'000;
constexpr std::chrono::seconds count_max{10};

}  // namespace

void GoneTiers::look() {
  if (counting_.valid() &&
      counting_.wait_for(std::chrono::seconds{0}) != std::future_status::ready) {
    return;
  }
  const auto quota = environment_.quota.get();
  const auto before = std::exchange(seen_, quota);
  if (before == quota) return;
  for (const auto& [tier, limits] : *before) gone_.insert(tier);
  std::erase_if(gone_, [&](const std::string& tier) { return quota->contains(tier); });
  if (gone_.empty()) return;
  try {
    counting_ = std::async(std::launch::async, [this, gone = gone_] { report(gone); });
  } catch (const std::system_error& error) {
    log_warning("tier_gone",
                std::string{"the quota has lost a tier; cannot start a thread to count its "
                            "installs: "} +
                    error.what());
  }
}

void GoneTiers::report(const std::set<std::string>& tiers) const {
  const auto deadline = std::chrono::steady_clock::now() + count_max;
  for (const std::string& tier : tiers) {
    const std::string installs = count(tier, deadline);
    if (installs.empty()) continue;
    log_warning("tier_gone", "the quota no longer has the tier \"" + tier + "\"; " + installs +
                                 " have it and are judged as \"" +
                                 std::string{ledger::fallback_tier} +
                                 "\": creditsctl list --tier \"" + tier + "\"");
  }
}

// Returns the count in words; empty if there are none.
std::string GoneTiers::count(const std::string& tier, actors::SteadyTime deadline) const {
  persistence::ListQuery query;
  query.tier = tier;
  query.limit = counted_max;
  auto promise = std::make_shared<std::promise<std::vector<ledger::Row>>>();
  auto rows = promise->get_future();
  gateway_.list(actors::ListRequest{std::move(query), std::move(promise), deadline});
  try {
    if (rows.wait_until(deadline) != std::future_status::ready) {
      return "installs that could not be counted in time";
    }
    const std::size_t found = rows.get().size();
    if (found == 0) return "";
    return (found == counted_max ? "at least " : "") + std::to_string(found) + " installs";
  } catch (const std::exception& error) {  // the store failed, or its actors have ended
    return "installs that could not be counted (" + std::string{error.what()} + ")";
  }
}

}  // namespace credits::creditsd
