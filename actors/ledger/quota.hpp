// The quota: the limits of each tier. http/codec reads its file form, and reports mistakes in it.
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

// Every quota has this tier. It applies to rows of a tier that the quota does not have.
inline constexpr std::string_view fallback_tier = "core";

using Quota = std::map<std::string, TierQuota, std::less<>>;

// The quota of `tier`, or that of `core` if the quota has no such tier.
// Precondition: `quota` has `core`.
const TierQuota& quota_of(const Quota& quota, std::string_view tier);

}  // namespace credits::ledger
