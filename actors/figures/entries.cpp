#include "actors/figures/entries.hpp"

#include <algorithm>

#include "actors/base/assert.hpp"

namespace credits::actors {

void StoredEntries::add(const ledger::Entry& entry) {
  const auto kind = static_cast<std::size_t>(entry.kind);
  CREDITS_EXPECTS(kind < kinds);
  ++by_kind[kind];
  const bool is_commit = entry.kind == ledger::EntryKind::commit;
  if (!is_commit && entry.kind != ledger::EntryKind::settle) return;
  DebitsOfTier& of_tier = debits_of(entry.tier, entry.backend.value());
  of_tier.commits += is_commit ? 1 : 0;
  of_tier.credits += static_cast<std::uint64_t>(entry.credits);
}

DebitsOfTier& StoredEntries::debits_of(const std::string& tier, ledger::Backend backend) {
  const auto found = std::find_if(debits.begin(), debits.end(), [&](const DebitsOfTier& of) {
    return of.backend == backend && of.tier == tier;
  });
  if (found != debits.end()) return *found;
  if (debits.size() >= debits_max && tier != "other") return debits_of("other", backend);
  return debits.emplace_back(DebitsOfTier{tier, backend});
}

}  // namespace credits::actors
