// Checks the invariants that no entry may break: versions without gaps, no holds beyond a cap, and
// no settle without a hold. It shares as little as possible with the ledger's own rules.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "actors/ledger/entry.hpp"
#include "actors/ledger/quota.hpp"

namespace credits::tests {

// Counts the credits that the entries of one install spend and hold. It knows no other rules:
// neither balances nor plans.
class Spending {
 public:
  // Describes the fault of `entry`; empty if it has none.
  std::string add(const ledger::Entry& entry, const ledger::Quota& quota) {
    if (entry.version != ++entries_) return "a gap in the entries";
    switch (entry.kind) {
      case ledger::EntryKind::reserve:
        return hold(entry, quota);
      case ledger::EntryKind::settle:
        return settle(entry, quota);
      case ledger::EntryKind::commit:
        consumed_[budget_of(entry)] += amount_of(entry);
        [[fallthrough]];
      default:
        if (entry.reservation_id) held_.erase(*entry.reservation_id);
        return {};
    }
  }

 private:
  using Budget = std::pair<ledger::Counter, ledger::Month>;

  struct Amount {
    std::int64_t all = 0;
    std::int64_t gemini = 0;

    Amount& operator+=(const Amount& other) {
      all += other.all;
      gemini += other.gemini;
      return *this;
    }
  };

  struct Hold {
    Budget budget;
    Amount amount;
  };

  static Budget budget_of(const ledger::Entry& entry) {
    return {entry.counter,
            entry.counter == ledger::Counter::lifetime ? ledger::Month{} : entry.month};
  }

  static Amount amount_of(const ledger::Entry& entry) {
    return {entry.credits, entry.backend == ledger::Backend::gemini ? entry.credits : 0};
  }

  std::string hold(const ledger::Entry& entry, const ledger::Quota& quota) {
    if (!seen_.insert(entry.reservation_id.value()).second)
      return "a reservation's id is used twice";
    const Hold held{budget_of(entry), amount_of(entry)};
    held_.emplace(*entry.reservation_id, held);
    const auto& limits = limits_of(entry, quota);
    const Amount sum = committed_and_held(held.budget);
    if (limits.limit && sum.all > *limits.limit) return "a reservation passes the cap";
    const bool is_gemini = entry.backend == ledger::Backend::gemini;
    if (is_gemini && limits.gemini_cap && sum.gemini > *limits.gemini_cap)
      return "a reservation passes the Gemini cap";
    return {};
  }

  std::string settle(const ledger::Entry& entry, const ledger::Quota& quota) {
    const auto found = held_.find(entry.reservation_id.value());
    if (found == held_.end()) return "a settle without a hold";
    const Hold held = found->second;
    const Amount spent = amount_of(entry);
    held_.erase(found);
    consumed_[held.budget] += spent;
    if (budget_of(entry) != held.budget) return "a settle into another budget";
    if (spent.all > held.amount.all) return "a settle of more than the hold";
    const auto& cap = limits_of(entry, quota).gemini_cap;
    const bool changed = spent.gemini > held.amount.gemini;
    if (changed && cap && committed_and_held(held.budget).gemini > *cap)
      return "a settle passes the Gemini cap";
    return {};
  }

  static const ledger::TierQuota& limits_of(const ledger::Entry& entry,
                                            const ledger::Quota& quota) {
    const auto found = quota.find(entry.tier);
    return found != quota.end() ? found->second : quota.at("core");
  }

  Amount committed_and_held(const Budget& budget) {
    Amount sum = consumed_[budget];
    for (const auto& [id, hold] : held_)
      if (hold.budget == budget) sum += hold.amount;
    return sum;
  }

  std::uint64_t entries_ = 0;
  std::map<Budget, Amount> consumed_;
  std::map<std::string, Hold> held_;
  std::set<std::string> seen_;
};

}  // namespace credits::tests
