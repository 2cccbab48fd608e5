// The quota: what each tier may consume. Its file form, and every mistake that one can make in it,
// is http/codec's business.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "actors/ledger/row.hpp"

namespace credits::ledger {

struct TierQuota {
  Counter counter = Counter::lifetime;     // the budget that this tier's debits go to
  std::optional<std::int64_t> limit;       // credits; none: unlimited
  std::optional<std::int64_t> gemini_cap;  // credits; none: Gemini is limited by `limit` alone

  friend bool operator==(const TierQuota&, const TierQuota&) = default;
};

// The tier that every quota has, and that a row of an unknown tier is judged by.
inline constexpr std::string_view fallback_tier = "core";

using Quota = std::map<std::string, TierQuota, std::less<>>;

// The quota of `tier`, or that of `core` where the quota has no such tier.
// Precondition: `quota` has `core`.
const TierQuota& quota_of(const Quota& quota, std::string_view tier);

}  // namespace credits::ledger
